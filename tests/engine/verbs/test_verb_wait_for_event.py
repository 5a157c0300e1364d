"""`wait_for` an event from outside: a webhook, a supervisor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.call import Call
from engine.http import Http, HttpFailedError
from engine.inbox import Told
from engine.virtual import VirtualLine, virtual_services, virtual_time
from tests.engine.support import beside_script
from tests.engine.verbs.phone import flow, library, problems


class NoSounds(Http):
    """Endpoints that have none."""

    async def fetch(self, *given: Any, **more: Any) -> bytes:
        raise HttpFailedError("pos answered 404 to GET", status=404)


STEPS = """
- id: paid
  wait_for: {event: webhook, name: payment, timeout: 30s%s}
  save: {amount: number}
  outcomes: {timeout: [{hangup: {result: nothing came}}]}
- say: You paid ${string(steps.paid.amount)}.
- hangup: {result: "${steps.paid.event.by}"}
"""
HEAD = 'handlers: [{event: dtmf, digits: "0", goto: desk}]\nsections: {desk: [{hangup: {result: desk}}]}'


async def dial(
    folder: Path, script: Callable[[Call, VirtualLine], Awaitable[None]], steps: str = STEPS % "", head: str = ""
) -> tuple[Call, VirtualLine]:
    """Run a call beside a script that may tell it of events."""
    house, line = library(folder, flow(steps, head=head)), VirtualLine()
    call = Call(line, house.flows["test"], house, virtual_services(http=NoSounds()))
    await beside_script(call, lambda: script(call, line))
    assert line.left_over == []
    return call, line


@virtual_time
async def test_music_comes_back_when_the_audio_was_lost(tmp_path: Path) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(3)
        line.media.end("lost")
        await line.caller.waits(10)
        call.tell("webhook", "payment", {"amount": 12, "by": "card"})

    call, line = await dial(tmp_path, script)
    assert call.record.result == "card"
    cut = [entry for entry in line.log.find("cut") if not entry.text]
    assert cut[-1].at == pytest.approx(13, abs=0.1)
    assert len(line.medias) == 2


@pytest.mark.parametrize("hears", ["", ", caller_hears: ringback"])
@virtual_time
async def test_the_caller_hears_music_until_the_event_comes(tmp_path: Path, hears: str) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(10)
        assert line.media is not None
        assert line.media.is_playing, "nobody waits in silence"
        assert call.tell("webhook", "payment", {"amount": 12, "by": "card"}).fate == "taken"

    call, line = await dial(tmp_path, script, STEPS % hears)
    assert call.record.result == "card"
    assert call.record.steps[0].ms == 10_000
    assert line.log.heard() == ["You paid 12."], "at once, the music is gone"
    music = [entry for entry in line.log if entry.what in ("heard", "cut") and not entry.text]
    assert sum(entry.ms for entry in music) == pytest.approx(10_000, abs=50)


@pytest.mark.parametrize(
    ("play", "expected"), [("{prompt: welcome}", "Welcome to Bella's."), ("{endpoint: pos, path: /gone.wav}", "music")]
)
@virtual_time
async def test_a_sound_of_the_flows_own_or_music_when_it_cannot_be_had(
    tmp_path: Path, play: str, expected: str
) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(10)
        assert line.media is not None
        assert line.media.is_playing
        call.tell("webhook", "payment", {"amount": 12, "by": "card"})

    _, line = await dial(tmp_path, script, STEPS % f", play: {play}")
    heard = line.log.heard()
    assert heard[-1] == "You paid 12."
    if expected == "music":
        assert heard == ["You paid 12."]
    else:
        assert heard.count(expected) > 3, "again and again"


@virtual_time
async def test_an_event_that_came_before_its_step_is_taken_at_once(tmp_path: Path) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        assert call.tell("webhook", "payment", {"amount": 12.5, "by": "card"}).fate == "kept"

    steps = "- wait: 3s\n" + STEPS % ""
    call, line = await dial(tmp_path, script, steps.replace("- say: You paid ${string(steps.paid.amount)}.\n", ""))
    assert (call.record.result, call.record.steps[1].ms) == ("card", 0)
    assert (line.medias, call.record.answered) == ([], None), "nothing was played, and nobody had to answer"


@virtual_time
async def test_nothing_comes(tmp_path: Path) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        assert call.tell("webhook", "refund", {}).fate == "kept"
        assert call.tell("supervisor", "payment", {"amount": 1}).fate == "kept"

    call, _ = await dial(tmp_path, script)
    assert call.record.result == "nothing came"
    assert (call.record.steps[0].outcome, call.record.steps[0].ms) == ("timeout", 30_000)
    assert call.tell("webhook", "payment", {}) == Told("over")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "the event has no amount"),
        ({"by": "card"}, "the event has no amount"),
        ({"amount": "much"}, "amount is declared as number, but the value is string"),
        ([1], "the event has no amount"),
    ],
)
@virtual_time
async def test_data_that_cannot_be_used_is_refused_and_the_wait_goes_on(tmp_path: Path, data: Any, why: str) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(5)
        assert call.tell("webhook", "payment", data) == Told("unfit", (why,))
        await line.caller.waits(5)
        assert call.tell("webhook", "payment", {"amount": 3, "by": "cash"}).fate == "taken"

    call, _ = await dial(tmp_path, script)
    assert call.record.result == "cash"
    assert call.record.steps[0].ms == 10_000


@virtual_time
async def test_a_schema_says_what_the_data_must_be(tmp_path: Path) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(1)
        told = call.tell("webhook", "payment", {"amount": 3, "by": "stones"})
        assert told.fate == "unfit"
        assert "by" in told.why[0]
        call.tell("webhook", "payment", {"amount": 3, "by": "cash"})

    schema = "{amount: {type: number}, by: {type: string, enum: [card, cash]}}"
    call, _ = await dial(tmp_path, script, STEPS % f", schema: {schema}")
    assert call.record.result == "cash"


@pytest.mark.parametrize("data", [10**30, {"n": 10**30}, 1e308, [[[[{}]]]], "text", True, None])
@virtual_time
async def test_whatever_json_comes_the_flow_goes_on(tmp_path: Path, data: Any) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        call.tell("supervisor", "note", data)

    steps = """
        - id: told
          wait_for: {event: supervisor, name: note}
        - id: next
          set: {seen: "${steps.told.event}"}
          catch: [{hangup: {result: caught}}]
        - hangup: {result: end}
    """
    head = "vars: {seen: {type: any}}\nhandlers: [{event: error, goto: d}]\nsections: {d: [{hangup: {result: d}}]}"
    call, _ = await dial(tmp_path, script, steps, head=head)
    assert call.record.result in ("end", "caught")
    assert call.record.steps[0].outcome == "done"


@virtual_time
async def test_keys_still_reach_the_handlers_and_the_music_stops(tmp_path: Path) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(4)
        await line.caller.presses("0")

    call, _ = await dial(tmp_path, script, head=HEAD)
    assert call.record.result == "desk"
    assert call.record.steps[0].outcome == "cancelled"


@virtual_time
async def test_a_caller_who_hangs_up_meanwhile(tmp_path: Path) -> None:
    async def script(call: Call, line: VirtualLine) -> None:
        await line.caller.waits(4)
        await line.caller.hangs_up()

    call, _ = await dial(tmp_path, script)
    assert (call.record.outcome, call.record.steps[0].outcome) == ("caller_hung_up", "cancelled")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("{event: webhook}", "the webhook event needs a 'name', such as payment"),
        ("{event: dtmf, name: payment}", "'name' belongs to webhook and supervisor events, not to dtmf"),
        ("{event: speech, caller_hears: music}", "'caller_hears' belongs to webhook and supervisor events, not to"),
        ("{event: beep, play: {prompt: welcome}}", "'play' belongs to webhook and supervisor events, not to beep"),
        ("{event: webhook, name: a, play: {prompt: gone}}", "unknown prompt 'gone'"),
        ("{event: webhook, name: a, play: {}}", "play needs exactly one of"),
        ("{event: webhook, name: a b}", "E203"),
        ("{event: webhook, name: a, schema: {a: 1}}", "E305"),
        ("{event: webhok, name: a}", "is not one of 'dtmf', 'speech', 'beep', 'webhook' or 'supervisor'"),
    ],
)  # fmt: skip
def test_what_the_check_says(tmp_path: Path, fields: str, told: str) -> None:
    assert told in "\n".join(problems(tmp_path, f"- wait_for: {fields}\n  catch: []"))


def test_save_is_for_events_from_outside(tmp_path: Path) -> None:
    found = problems(tmp_path, "- id: a\n  wait_for: dtmf\n  save: {x: string}\n  catch: []")
    assert found == ["4:5: error[E203]: 'save' takes the data of webhook and supervisor events; dtmf has none"]


def test_what_an_event_gives_is_known_to_expressions(tmp_path: Path) -> None:
    steps = (
        '- id: a\n  wait_for: {event: webhook, name: x}\n  save: {sum: number}\n  catch: []\n'
        '- say: "${a.b}"\n- say: "${steps.a.sun}"\n- say: "${steps.a.event.by}"'
    )  # fmt: skip
    found = "\n".join(problems(tmp_path, steps))
    assert "steps.a.sun" in found
    assert "steps.a.event" not in found
