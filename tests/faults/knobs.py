"""Everything that a vendor can do wrong, as rows of the fault matrix: what is turned at its emulator, and when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.emulators.faults import Faults
from tests.emulators.openai_realtime import Call, Empty, Say
from tests.emulators.openai_realtime.model import Fail, Turn

GREETING = "Good day."
ANSWER = "We open at seven."
GOODBYE = "Goodbye then."
LEAVES = Call("finish", {"exit": "person"}, say=GOODBYE)
SCRIPT: tuple[Turn, ...] = (Say(ANSWER), LEAVES, LEAVES, LEAVES, LEAVES)

When = Literal["greeting", "question", "answer"]
Act = Callable[[Any], Awaitable[None]]  # on a conversation of the emulator


@dataclass(frozen=True)
class Knob:
    """A row. ``faults`` hold from the beginning; ``act`` happens once, while the greeting is spoken, while the caller
    asks, or while the first question is answered. ``interrupts``: the caller speaks over the greeting. ``patient``: who
    was greeted waits for more before they ask. ``word``: what a protocol must have a word for (`Vendor.lacks`).
    """

    text: str
    faults: Faults = field(default_factory=Faults)
    script: Sequence[Turn] = SCRIPT
    at: When = "greeting"
    act: Act | None = None
    interrupts: bool = False
    patient: bool = False
    word: str = ""


async def cut(talk: Any) -> None:
    await talk.drop()


def close(code: int, reason: str) -> Act:
    async def act(talk: Any) -> None:
        talk.faults = replace(talk.faults, close_code=code, close_reason=reason)
        await talk.shut()

    return act


async def fall_silent(talk: Any) -> None:
    await talk.fall_silent()


async def stop_reading(talk: Any) -> None:
    talk.faults = replace(talk.faults, stop_reading=True)


async def stop_answering(talk: Any) -> None:
    talk.faults = replace(talk.faults, stall=True)


async def hear_a_phantom(talk: Any) -> None:
    await talk.phantom()


async def go_away(talk: Any) -> None:
    await talk.go_away()


KNOBS: tuple[Knob, ...] = (
    Knob("HTTP 401 on the upgrade", Faults(http_status=401)),
    Knob("HTTP 429 on the upgrade", Faults(http_status=429)),
    Knob("HTTP 503 on the upgrade", Faults(http_status=503)),
    Knob("the upgrade is never answered", Faults(hang_upgrade=True), word="hang_upgrade"),
    Knob("the session never stands", Faults(no_session=True), word="no_session"),
    Knob("the session is refused", Faults(refuse_session=("invalid_value", "No such voice.")), word="refuse_session"),
    Knob("quota used up, told at once", Faults(error=("insufficient_quota", "You exceeded your quota.")), word="error"),
    Knob("never answers", Faults(stall=True)),
    Knob("reads nothing", Faults(stop_reading=True)),
    Knob("cut in the greeting", act=cut),
    Knob("cut while the caller asks", at="question", act=cut),
    Knob("cut in an answer", at="answer", act=cut),
    Knob("closed with 1011 in an answer", at="answer", act=close(1011, "Deadline expired."), word="close"),
    Knob("closed with 1008 in an answer", at="answer", act=close(1008, "Policy violation."), word="close"),
    Knob("falls silent in the greeting", act=fall_silent, word="fall_silent"),
    Knob("falls silent while the caller asks", at="question", act=fall_silent, word="fall_silent"),
    Knob("falls silent in an answer", at="answer", act=fall_silent, word="fall_silent"),
    Knob("stops reading while the caller asks", at="question", act=stop_reading, word="stop_reading"),
    Knob("stops answering", at="question", act=stop_answering),
    Knob("every event 700 ms late", Faults(delay_ms=700)),
    Knob("every event twice", Faults(duplicate=True)),
    Knob("neighbouring events change places", Faults(out_of_order=True), word="out_of_order"),
    Knob("audio after an interruption", Faults(late_deltas=20), interrupts=True, word="late_deltas"),
    Knob("speech heard although nobody spoke", act=hear_a_phantom, patient=True, word="phantom"),
    Knob("an empty greeting", Faults(empty_turns=1), word="empty_turns"),
    Knob("an empty answer", script=(Empty(), *SCRIPT)),
    Knob("a failed answer", script=(Fail(), *SCRIPT)),
    Knob("two failed answers", script=(Fail(), Fail(), *SCRIPT), word="failures"),
    Knob("nothing left of the rate limit", Faults(rate_limit=True), word="rate_limit"),
    Knob("asked to leave the connection", at="question", act=go_away, word="go_away"),
    Knob("faster than real time, all at once", Faults(burst=True)),
    Knob(
        "frames that make no sense",
        word="garbage",
        faults=Faults(garbage=("{", "[]", '{"type": 7}', b"\x00\x01", '{"serverContent": []}')),
    ),
)
