"""The audio between Asterisk and the engine breaks off while the call lives: the caller hears something yet."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from company import Open
from hearing import longest_silence

from asterisk.instance import Instance
from tests.media_proxy import MediaProxy

pytestmark = pytest.mark.asterisk

LONG = "This is a long announcement, and nobody who calls here every day wants to hear it to its end once more."
TALK = (
    f"converse: {{exits: {{bye: {{}}}}, options: {{rehearsal: {{script: [say: '{LONG}', finish: {{exit: bye}}]}}}}}}\n"
    "            outcomes: {silence: [], max_duration: []}"
)
EXITS = "exits: {bye: {}}}\n            outcomes: {silence: [], max_duration: []}"


@pytest.fixture
async def proxy(pbx: Instance) -> AsyncIterator[MediaProxy]:
    async with MediaProxy(pbx) as proxy:
        yield proxy


def through(proxy: MediaProxy) -> dict[str, str]:
    """Settings of an engine whose media can be broken."""
    return {"url": proxy.ari_url, "media": "websocket"}


def lose(proxy: MediaProxy) -> None:
    """Break the connection that carries the engine's audio, and refuse the two that would replace it."""
    proxy.refuses = 2
    proxy.cut()


@pytest.mark.parametrize(
    "step",
    [f"say: {LONG}", f"say: {{text: {LONG!r}, interruptible: any}}", f"converse: {{greeting: '{LONG}', {EXITS}"],
    ids=["say", "interruptible say", "converse"],
)
async def test_the_flows_error_handler_speaks_on_a_new_connection(
    open_company: Open, proxy: MediaProxy, step: str
) -> None:
    flow = f"""
        handlers: [{{event: error, goto: sorry}}]
        steps:
          - {step}
          - hangup: {{result: wrong}}
        sections:
          sorry: [{{say: We are back.}}, {{hangup: {{result: sorry}}}}]
    """
    async with open_company(flow, asterisk=through(proxy)) as house:
        caller = await house.call()
        await caller.hears_something()
        lose(proxy)
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert (record.result, record.hangup_by) == ("sorry", "flow")
    assert "audio of the call was lost" in record.error
    assert longest_silence(heard) < 2.0
    assert heard.seconds - heard.bursts()[-1][1] < 0.5


async def test_ringing_goes_on_without_it(open_company: Open, proxy: MediaProxy) -> None:
    flow = """
        steps:
          - transfer: {attempts: [{targets: ["tel:+12125570209"]}]}
            outcomes: {failed: []}
          - hangup: {result: wrong}
    """
    async with open_company(flow, asterisk=through(proxy)) as house:
        caller = await house.call()
        await caller.hears_something()
        lose(proxy)
        await house.connected(caller)
        await caller.sounds(600, 1.0)
        await caller.hangs_up()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.outcome == "handed_off"
    assert heard.part(heard.seconds - 0.8).tone_share(900) > 0.9
    assert longest_silence(heard) < 2.5


@pytest.mark.parametrize(("fault", "silence"), [("cut", 1.0), ("fall_silent", 3.0)])
@pytest.mark.parametrize(("step", "seconds"), [(f"say: {LONG}", 5.5), (TALK, 3.0)], ids=["say", "converse"])
async def test_a_connection_that_can_be_replaced_is_not_missed(
    open_company: Open, proxy: MediaProxy, step: str, seconds: float, fault: str, silence: float
) -> None:
    flow = f"""
        steps:
          - {step}
          - hangup: {{result: right}}
    """
    async with open_company(flow, asterisk=through(proxy)) as house:
        caller = await house.call()
        await caller.hears_something()
        getattr(proxy, fault)()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert (record.result, record.outcome, record.error) == ("right", "completed", "")
    assert proxy.seen == 2
    assert longest_silence(heard, since=heard.bursts()[0][0]) < silence
    assert sum(end - start for start, end in heard.bursts()) > seconds
