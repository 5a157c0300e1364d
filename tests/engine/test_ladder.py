"""The ladder: people who must accept, what they are told, and whose clocks run on. All on virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.callee import HUNG_UP, MOVED_ON, TAKEN
from engine.text import Texts
from engine.verb import installed
from engine.virtual import Calls, VirtualLine, VirtualProvider, virtual_services, virtual_time
from engine.voices import Voices
from flows.language import Language
from tests.engine.verbs.phone import Over, dial, flow, library, problems

ASK = "You have a call. Press 1 to accept it."


def transfer(fields: str) -> str:
    outcomes = "outcomes: {failed: [{hangup: {result: nobody}}]}"
    return f"- transfer:\n    {fields}\n  {outcomes}\n- hangup: {{result: after}}\n"


def ladder(targets: str, more: str = "accept: {digit: '1', timeout: 15s}", timeout: str = "60s") -> str:
    return transfer(f"{more}\n    attempts: [{{targets: [{targets}], timeout: {timeout}}}]")


async def rings(folder: Path, steps: str, script: object = None, head: str = "", **targets: object) -> Over:
    line = VirtualLine(targets={f"pjsip:{name}": what for name, what in targets.items()})
    return await dial(library(folder, flow(steps, head=head)), script, line=line)  # type: ignore[arg-type]


def heard(over: Over, who: str) -> list[str]:
    return [entry.text for entry in over.line.log if entry.who == f"pjsip:{who}" and entry.what in ("heard", "cut")]


def moment(over: Over, who: str, what: str) -> float:
    return next(entry.at for entry in over.line.log if entry.who == f"pjsip:{who}" and entry.what == what)


def statuses(over: Over) -> list[tuple[str, str]]:
    return [(attempt.target.removeprefix("pjsip:"), attempt.status) for attempt in over.record.attempts]


@virtual_time
async def test_the_winner_is_the_first_who_presses_not_who_answers(tmp_path: Path) -> None:
    over = await rings(
        tmp_path, ladder('"pjsip:a", "pjsip:b"'),
        a={"answer": 2, "keys": "1", "keys_after": 12},
        b={"answer": 5, "keys": "1", "keys_after": 4, "hangs_up_after": 30},
    )  # fmt: skip
    assert statuses(over) == [("a", "cancelled"), ("b", "answered")]
    assert moment(over, "b", "connected") == pytest.approx(9, abs=0.1)
    assert heard(over, "a")[0] == ASK
    assert heard(over, "a")[-1] == TAKEN
    assert moment(over, "a", "hung_up") > moment(over, "b", "connected")  # the caller did not wait for these words
    assert over.record.outcome == "handed_off"


@virtual_time
async def test_each_has_a_clock_of_their_own_from_their_own_answer(tmp_path: Path) -> None:
    over = await rings(
        tmp_path, ladder('"pjsip:a", "pjsip:b"', "accept: {timeout: 5s}"),
        a={"answer": 2}, b={"answer": 20, "keys": "1", "keys_after": 4, "hangs_up_after": 9},
    )  # fmt: skip
    assert statuses(over) == [("a", "no_answer"), ("b", "answered")]
    assert moment(over, "a", "hung_up") == pytest.approx(7, abs=0.1)
    assert moment(over, "b", "connected") == pytest.approx(24, abs=0.1)


@virtual_time
async def test_the_attempts_clock_does_not_stop_because_one_answered(tmp_path: Path) -> None:
    over = await rings(tmp_path, ladder('"pjsip:a", "pjsip:b"', timeout="10s"), a={"answer": 8}, b="no_answer")
    assert statuses(over) == [("a", "no_answer"), ("b", "no_answer")]
    assert over.record.steps[0].ms == pytest.approx(10_000, abs=200)
    assert heard(over, "a")[-1] == MOVED_ON
    assert over.record.result == "nobody"


@pytest.mark.parametrize(("presses_after", "connected"), [(4.9, True), (5.1, False)])
@virtual_time
async def test_a_key_before_the_steps_clock_wins_and_one_after_it_is_late(
    tmp_path: Path, presses_after: float, connected: bool
) -> None:
    brief = "brief: {text: This takes a while to say to the person who takes it.}"
    more = f"accept: {{timeout: 30s}}\n    {brief}\n    timeout: 10s"
    over = await rings(
        tmp_path, ladder('"pjsip:a"', more),
        a={"answer": 5, "keys": "1", "keys_after": presses_after, "hangs_up_after": 60},
    )  # fmt: skip
    assert (over.record.outcome == "handed_off") is connected
    assert (heard(over, "a")[-1] == MOVED_ON) is not connected
    assert over.record.result == ("" if connected else "nobody")


@virtual_time
async def test_who_declines_lets_the_next_ring(tmp_path: Path) -> None:
    steps = transfer(
        "accept: {digit: '1', decline: '2'}\n    attempts: [{ring: serial, targets: ['pjsip:a', 'pjsip:b']}]"
    )
    over = await rings(
        tmp_path, steps, a={"answer": 2, "keys": "72"}, b={"answer": 2, "keys": "1", "hangs_up_after": 5}
    )
    assert heard(over, "a")[0] == "You have a call. Press 1 to accept it. Press 2 to decline it."
    assert statuses(over) == [("a", "declined"), ("b", "answered")]
    assert moment(over, "b", "dialled") == pytest.approx(4, abs=0.1)


@virtual_time
async def test_who_hangs_up_instead_of_pressing_has_declined(tmp_path: Path) -> None:
    over = await rings(tmp_path, ladder('"pjsip:a"'), a={"answer": 2, "hangs_up_after": 3})
    assert statuses(over) == [("a", "declined")]
    assert over.record.steps[0].outcome == "declined"


@virtual_time
async def test_a_caller_who_hangs_up_is_told_of_to_who_was_asked(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered", who="pjsip:a")
        await line.caller.waits(1)
        await line.caller.hangs_up()

    head = "handlers: [{event: hangup, steps: [{set: {gone: true}}]}]\nvars: {gone: {type: boolean, default: false}}"
    over = await rings(tmp_path, ladder('"pjsip:a", "pjsip:b"'), script, head, a={"answer": 2}, b="no_answer")
    assert heard(over, "a")[-1] == HUNG_UP
    assert moment(over, "b", "hung_up") == pytest.approx(3, abs=0.1)  # whoever still rang does not any more
    assert over.record.outcome == "caller_hung_up"
    assert over.ways[-1] == ("set", "done")


@virtual_time
async def test_the_key_of_a_handler_is_the_callers_not_the_callees(tmp_path: Path) -> None:
    head = "handlers: [{event: dtmf, digits: '1', goto: desk}]\nsections: {desk: [{hangup: {result: desk}}]}"
    over = await rings(tmp_path, ladder('"pjsip:a"'), head=head, a={"answer": 2, "keys": "1", "hangs_up_after": 5})
    assert over.record.outcome == "handed_off"


@virtual_time
async def test_the_brief_is_heard_by_the_callee_alone_before_they_are_connected(tmp_path: Path) -> None:
    steps = transfer("brief: {text: 'A caller from ${caller.number}.'}\n    attempts: [{targets: ['pjsip:a']}]")
    over = await rings(tmp_path, steps, a={"answer": 2, "hangs_up_after": 20})
    assert heard(over, "a") == ["A caller from +14155550199."]
    assert not [text for text in over.heard if "A caller from" in text]
    told = next(entry for entry in over.line.log if entry.who == "pjsip:a" and entry.what == "heard")
    assert moment(over, "a", "connected") == pytest.approx(told.at, abs=0.1)


@virtual_time
async def test_a_long_brief_is_cut_off(tmp_path: Path) -> None:
    steps = transfer(f"brief: {{text: {'word ' * 200}, max: 3s}}\n    attempts: [{{targets: ['pjsip:a']}}]")
    over = await rings(tmp_path, steps, a={"answer": 2, "hangs_up_after": 20})
    assert moment(over, "a", "connected") == pytest.approx(5, abs=0.1)


@virtual_time
async def test_the_question_may_hold_the_brief_which_is_then_not_said_again(tmp_path: Path) -> None:
    more = "brief: {text: Ada is ill.}\n    accept: {say: 'Urgent. ${brief.text} Press 1.'}"
    a = {"answer": 2, "keys": "1", "keys_after": 4, "hangs_up_after": 9}
    over = await rings(tmp_path, ladder('"pjsip:a"', more), a=a)
    assert heard(over, "a") == ["Urgent. Ada is ill. Press 1."]


@virtual_time
async def test_without_a_text_model_the_brief_is_the_callers_last_words(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("What is it?")
        await line.caller.waits(1)
        await line.caller.says("My father has chest pain.")

    steps = (
        "- converse: {greeting: 'What is it?', exits: {urgent: {}}}\n"
        + transfer("brief: {auto: true}\n    attempts: [{targets: ['pjsip:a']}]")
    )  # fmt: skip
    line = VirtualLine(targets={"pjsip:a": {"answer": 2, "hangs_up_after": 9}})
    provider = VirtualProvider([[Calls("finish", {"exit": "urgent"})]])
    services = virtual_services(provider, texts=Texts(Voices()))
    over = await dial(library(tmp_path, flow(steps)), script, line=line, services=services, provider=provider)
    assert heard(over, "a") == ["My father has chest pain."]


@virtual_time
async def test_keys_are_sent_to_who_answers_with_their_pauses(tmp_path: Path) -> None:
    steps = transfer("dtmf_after_answer: 12w3#\n    attempts: [{targets: ['pjsip:a']}]")
    over = await rings(tmp_path, steps, a={"answer": 2, "hangs_up_after": 9})
    sent = [(entry.at, entry.text) for entry in over.line.log if entry.what == "sent_digits"]
    assert sent == [(pytest.approx(2, abs=0.01), "12"), (pytest.approx(2.5, abs=0.01), "3#")]


@virtual_time
async def test_a_machine_is_rejected_and_the_next_one_rings(tmp_path: Path) -> None:
    steps = transfer("attempts: [{ring: serial, targets: ['pjsip:a', 'pjsip:b'], machine: reject}]")
    over = await rings(
        tmp_path, steps, a={"answer": 2, "says": "You have reached the mailbox of Ada. I cannot answer. Please speak."},
        b={"answer": 2, "says": "Hello?", "hangs_up_after": 20},
    )  # fmt: skip
    assert statuses(over) == [("a", "machine"), ("b", "answered")]
    assert over.record.outcome == "handed_off"


@virtual_time
async def test_the_members_of_a_group_ring_together(tmp_path: Path) -> None:
    resources = "destinations: {desk: 'pjsip:a'}\ngroups: {oncall: [desk, 'pjsip:b', '+14155550188']}\n"
    house = library(tmp_path, flow(ladder('"group:oncall"', "timeout: 9s")), files={"resources.yaml": resources})
    answers = {"answer": 3, "hangs_up_after": 9}
    line = VirtualLine(targets={"pjsip:a": "no_answer", "pjsip:b": answers, "tel:+14155550188": "busy"})
    over = await dial(house, None, line=line)
    assert statuses(over) == [("a", "cancelled"), ("b", "answered"), ("tel:+14155550188", "busy")]


RULES = "dialling: {deny: ['+1900*']}\ndestinations: {hotline: 'tel:+19005550100'}\n"


@virtual_time
@pytest.mark.parametrize(
    "number", ["+19005550100", "tel:+1 900 555 0100", "teams:+19005550100", "pjsip:9.19005550100@trunk"]
)
async def test_a_number_that_may_not_be_dialled_is_not_whoever_chose_it(tmp_path: Path, number: str) -> None:
    head = f"vars: {{number: {{type: string, default: '{number}'}}}}"
    steps = flow(ladder('"${vars.number}", "pjsip:a"', "timeout: 9s"), head=head)
    target = number if ":" in number else f"tel:{number}"
    line = VirtualLine(targets={"pjsip:a": {"answer": 3, "hangs_up_after": 9}, target: "answer"})
    over = await dial(library(tmp_path, steps, files={"resources.yaml": RULES}), None, line=line)
    assert [(one.target.removeprefix("pjsip:a") or "a", one.status) for one in over.record.attempts] == [
        (target, "unavailable"), ("a", "answered"),
    ]  # fmt: skip
    assert "may not be dialled" in (over.record.attempts[0].reason or "")
    assert target not in {entry.who for entry in over.line.log}


@pytest.mark.parametrize("target", ["tel:+19005550100", "+19005550100", "hotline", "tel:+1 (900) 555-0100"])
def test_the_check_tells_a_number_that_may_not_be_dialled(tmp_path: Path, target: str) -> None:
    (tmp_path / "resources.yaml").write_text(RULES)
    (tmp_path / "a.flow.yaml").write_text(flow(ladder(f'"{target}"')))
    found = [problem for problem in Language(installed()).load([tmp_path]).problems if problem.code == "E310"]
    assert [problem.message for problem in found] == ["+19005550100 may not be dialled: resources.yaml denies +1900*"]


def test_what_the_check_says(tmp_path: Path) -> None:
    def told(more: str) -> str:
        return "\n".join(problems(tmp_path, ladder('"pjsip:a"', more)))

    assert told("accept: {say: 'Urgent. ${brief.text}'}") == ""
    assert "one key cannot both" in told("accept: {decline: '1'}")
    assert "either 'text' or 'auto" in told("brief: {max: 3s}")
    assert "unknown group 'nobody'" in "\n".join(problems(tmp_path, ladder('"group:nobody"')))
    assert "brief.txt" in told("accept: {say: '${brief.txt}'}")
