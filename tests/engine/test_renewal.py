"""A session that the provider is about to end: another one of the same goes on, and nobody notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import Says, VirtualLine, VirtualProvider
from engine.virtual.clock import virtual_time
from providers.voice import Expiring, VoiceError
from tests.engine.test_succession import talk
from tests.engine.verbs.phone import Over
from tests.engine.verbs.talking import asks, finish, outcome

ALONE = "provider: openai\ngreeting: Hello."


def at(over: Over, text: str) -> float:
    """When it was said, in seconds of the call."""
    said = next(said for said in over.record.transcript if said.text == text)
    return (said.at - over.record.started).total_seconds()


@pytest.mark.parametrize("connects", [0.6, 1.5, 4.5])
@virtual_time
async def test_who_speaks_while_the_next_session_is_connected_is_answered_by_the_old_one(
    tmp_path: Path, connects: float
) -> None:
    long = "Second answer, which is quite long indeed."
    only = VirtualProvider([[Says("First answer.")], [Says(long, 4000)], [Says("Third."), finish()]],
                           name="openai", thinks=0.3)  # fmt: skip

    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.hears("first answer")
        only.connects_after = connects
        only.voices[0]._emit(Expiring(120))
        await line.caller.waits(0.1)
        await line.caller.says("And to drink?", 0.6)
        await line.caller.hears("second answer")
        await line.caller.waits(6.0)
        await line.caller.says("And then?", 0.6)

    over = await talk(tmp_path, script, {"openai": only}, fields=ALONE)
    assert outcome(over) == "done_"
    assert over.heard == ["Hello.", "First answer.", long, "Third.", "Sorry."]
    assert at(over, long) - at(over, "And to drink?") < 1.0, "nobody waited for the new session"
    assert [voice.heard for voice in only.voices if voice.heard] == [
        ["What do you have?", "And to drink?"], ["And then?"],
    ]  # fmt: skip
    assert long in [said.text for said in only.voices[-1].session.history]


@virtual_time
async def test_a_session_that_cannot_be_renewed_talks_on(tmp_path: Path) -> None:
    only = VirtualProvider([[Says("First answer.")], [Says("Second."), finish()]], name="openai", thinks=0.3)

    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.hears("first answer")
        only.connects_after = VoiceError("no route", code="unreachable")
        only.voices[0]._emit(Expiring(120))
        await line.caller.waits(2.0)
        await line.caller.says("And to drink?", 0.6)

    over = await talk(tmp_path, script, {"openai": only}, fields=ALONE)
    assert outcome(over) == "done_"
    assert over.heard == ["Hello.", "First answer.", "Second.", "Sorry."]


@virtual_time
async def test_hanging_up_while_the_next_session_is_connected(tmp_path: Path) -> None:
    only = VirtualProvider([[Says("First answer.")]], name="openai", thinks=0.3)

    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.hears("first answer")
        only.connects_after = 3.0
        only.voices[0]._emit(Expiring(120))
        await line.caller.waits(1.0)
        await line.caller.hangs_up()

    over = await talk(tmp_path, script, {"openai": only}, fields=ALONE)
    assert over.record.outcome == "caller_hung_up"
    assert len(only.voices) == 2
