"""The audio between Asterisk and the engine breaks off while the call lives: the caller hears something yet."""

from __future__ import annotations

import pytest
from company import Company, Open
from hearing import longest_silence

pytestmark = pytest.mark.asterisk

LONG = "This is a long announcement, and nobody who calls here every day wants to hear it to its end once more."
EXITS = "exits: {bye: {}}}\n            outcomes: {silence: [], max_duration: []}"


async def cut(house: Company) -> None:
    """End the channel that carries the engine's audio."""
    [media] = [name for name in await house.pbx.channels() if name.startswith("WebSocket/")]
    await house.pbx.cli(f"channel request hangup {media}")


@pytest.mark.parametrize(
    "step",
    [f"say: {LONG}", f"say: {{text: {LONG!r}, interruptible: any}}", f"converse: {{greeting: '{LONG}', {EXITS}"],
    ids=["say", "interruptible say", "converse"],
)
async def test_the_flows_error_handler_speaks_on_a_new_connection(open_company: Open, step: str) -> None:
    flow = f"""
        handlers: [{{event: error, goto: sorry}}]
        steps:
          - {step}
          - hangup: {{result: wrong}}
        sections:
          sorry: [{{say: We are back.}}, {{hangup: {{result: sorry}}}}]
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await caller.hears_something()
        await cut(house)
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert (record.result, record.hangup_by) == ("sorry", "flow")
    assert "audio of the call was lost" in record.error
    assert longest_silence(heard) < 2.0
    assert heard.seconds - heard.bursts()[-1][1] < 0.5


async def test_ringing_goes_on_without_it(open_company: Open) -> None:
    flow = """
        steps:
          - transfer: {attempts: [{targets: ["tel:+12125570209"]}]}
            outcomes: {failed: []}
          - hangup: {result: wrong}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await caller.hears_something()
        await cut(house)
        await house.connected(caller)
        await caller.sounds(600, 1.0)
        await caller.hangs_up()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.outcome == "handed_off"
    assert heard.part(heard.seconds - 0.8).tone_share(900) > 0.9
    assert longest_silence(heard) < 2.5
