"""The rules that docs/flow-language.md says hold in every flow, each by a test of its name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from engine.virtual import Says, VirtualLine, virtual_time
from flows.flow import Handler
from tests.engine.test_resume import crash, engine, hears_the_question
from tests.engine.verbs.phone import dial, flow, library, load, problems
from tests.engine.verbs.talking import asks, finish, talk

SORRY = "handlers: [{event: error, steps: [{say: We are sorry.}]}]"


# ── No flow runs for ever ─────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_call_runs_1000_steps_at_most(tmp_path: Path) -> None:
    steps = "- repeat: {max: 100, steps: [{repeat: {max: 100, steps: [{set: {}}]}}]}"
    over = await dial(library(tmp_path, flow(steps, head=SORRY)))
    assert len(over.record.steps) == 1001, "and the words of the handler"
    assert "error: loop: the call ran 1000 steps" in over.record.error
    assert (over.heard, over.record.outcome) == (["We are sorry."], "completed")


@virtual_time
async def test_32_jumps_without_the_caller_are_a_loop(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- goto: a", head=f"{SORRY}\nsections: {{a: [{{goto: a}}]}}")))
    assert len(over.record.steps) == 34, "32 jumps, the one that is too many, and the words of the handler"
    place = over.record.steps[32].where
    assert over.record.error == f"goto at {place}: error: loop: 32 jumps without a word from the caller"
    assert over.heard == ["We are sorry."]
    caught = "sections: {a: [{goto: a, catch: [{say: That is enough.}, {hangup: {}}]}]}"
    over = await dial(library(tmp_path, flow("- goto: a", head=f"{SORRY}\n{caught}")))
    assert over.heard == ["That is enough."]


@virtual_time
async def test_a_loop_is_caught_once_in_a_call(tmp_path: Path) -> None:
    """How that ends wherever else it is caught: test_loops.py."""
    caught = "sections: {a: [{goto: a, catch: [{goto: a, catch: [{say: Never.}]}]}]}"
    over = await dial(library(tmp_path, flow("- goto: a", head=f"{SORRY}\n{caught}")))
    assert (over.heard, len(over.record.steps)) == (["We are sorry."], 67)


@virtual_time
async def test_a_step_that_waits_for_the_caller_is_no_loop(tmp_path: Path) -> None:
    head = """
        vars: {round: {type: integer}}
        sections:
          a:
            - set: {round: "${vars.round + 1}"}
            - when: vars.round < 100
              goto: b
          b:
            - menu: {say: Again?, timeout: 1s, retries: 0}
              outcomes: {no_input: [{goto: a}], no_match: []}
    """
    over = await dial(library(tmp_path, flow("- goto: a", head=head)))
    assert (len(over.heard), over.record.error) == (99, "")


@virtual_time
async def test_flows_call_one_another_16_deep_at_most(tmp_path: Path) -> None:
    """The check finds circles; here the library was made by somebody else."""
    house = library(tmp_path, flow("- call: {flow: inner}", head=SORRY), flow("- say: Never.", name="inner"))
    house = dataclasses.replace(house, flows={"test": house.flows["test"], "inner": house.flows["test"]})
    over = await dial(house)
    assert [step.verb for step in over.record.steps].count("call") == 17
    assert "error: loop: flows are called 16 deep; does 'inner' call itself?" in over.record.error
    assert "We are sorry." in over.heard
    assert over.record.outcome == "completed"


@virtual_time
async def test_sections_and_flows_count_together(tmp_path: Path) -> None:
    head = "sections: {s: [{call: {flow: inner}}]}"
    house = library(tmp_path, flow("- call: {section: s}", head=head), flow("- say: Never.", name="inner"))
    house = dataclasses.replace(house, flows={"test": house.flows["test"], "inner": house.flows["test"]})
    over = await dial(house)
    assert [step.verb for step in over.record.steps].count("call") == 17
    assert "loop: sections are called 16 deep" in over.record.error


# ── A key belongs to who asked for it ─────────────────────────────────────────────────────────────────────────────────

PERSON = "handlers: [{event: dtmf, digits: '0', steps: [{say: A person.}]}]"
MENU = "- menu: {say: Choose.}\n  outcomes: {'0': [{say: Zero.}], no_input: [], no_match: []}"
GATHER = "- gather: {say: Number?, digits: 2}\n  outcomes: {no_input: [], no_match: []}\n- say: Thank you."
WAIT = "- answer: {}\n- wait_for: dtmf\n  outcomes: {timeout: []}\n- say: Thank you."
VOICEMAIL = "- voicemail: box\n- say: Thank you."


@pytest.mark.parametrize(
    ("steps", "keys", "heard"),
    [
        (MENU, "0", ["Choose.…", "Zero."]),
        (GATHER, "00", ["Number?…", "Thank you."]),
        (WAIT, "0", ["Thank you."]),
        ("- say: A long story about a man and his dog.", "0", ["A long story about a man and his dog.…", "A person."]),
    ],
    ids=["menu", "gather", "wait_for", "say"],
)
@virtual_time
async def test_a_handler_never_fires_in_a_step_that_reads_keys(
    tmp_path: Path, steps: str, keys: str, heard: list[str]
) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.3)
        await line.caller.presses(keys)

    over = await dial(library(tmp_path, flow(steps, head=PERSON)), script)
    assert over.heard == heard


@virtual_time
async def test_a_handler_never_fires_for_a_key_of_who_accepts(tmp_path: Path) -> None:
    steps = "- transfer: {accept: {digit: '0'}, attempts: [{targets: ['pjsip:a']}]}\n  outcomes: {failed: []}"
    targets: dict[str, Any] = {"pjsip:a": {"answer": 1, "keys": "0", "keys_after": 3, "hangs_up_after": 20}}
    over = await dial(library(tmp_path, flow(steps, head=PERSON)), targets=targets)
    assert (over.heard.count("A person."), over.record.outcome) == (0, "handed_off")


@pytest.mark.parametrize(
    ("steps", "clashes"),
    [
        (MENU, True),
        (GATHER, True),
        (WAIT, True),
        (VOICEMAIL, False),
        (WAIT.replace("dtmf", "speech"), False),
        (MENU.replace("'0'", "'1'"), False),
    ],
)
def test_the_check_warns_where_a_handler_and_a_step_want_the_same_key(
    tmp_path: Path, steps: str, clashes: bool
) -> None:
    found = problems(tmp_path, steps, head=PERSON)
    told = [line for line in found if "W404" in line]
    assert len(told) == clashes
    assert not clashes or "key '0' belongs to this step while it runs; the dtmf handler in line 2 does not" in told[0]


def test_the_check_warns_of_the_key_that_ends_a_message(tmp_path: Path) -> None:
    head = PERSON.replace("'0'", "'*#'")
    assert [line for line in problems(tmp_path, VOICEMAIL, head=head) if "W404" in line and "key '#'" in line]


# ── After the call there is no caller ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", ["say: Bye.", "transfer: {attempts: [{targets: ['pjsip:a']}]}", "menu: {say: Now?}"])
def test_the_check_refuses_steps_that_need_the_caller_in_a_hangup_handler(tmp_path: Path, step: str) -> None:
    found = problems(tmp_path, "- hangup: {}", head=f"handlers: [{{event: hangup, steps: [{{{step}}}]}}]")
    assert any("error[E308]" in line and "needs the caller" in line for line in found)


@pytest.mark.parametrize("way", ["goto: after", "call: {section: after}, catch: []", "{goto: near}"])
def test_the_check_follows_a_hangup_handler_into_sections(tmp_path: Path, way: str) -> None:
    way = way if way.startswith("{") else f"{{{way}}}"
    sections = "sections: {after: [{set: {}}, {say: Bye.}, {goto: after}], near: [{goto: after}]}"
    found = problems(tmp_path, "- hangup: {}", head=f"handlers: [{{event: hangup, steps: [{way}]}}]\n{sections}")
    assert [line for line in found if "E308" in line] == [
        "3:32: error[E308]: 'say' needs the caller, who has hung up when this handler runs"
    ]


@virtual_time
async def test_a_hangup_handler_goes_on_with_the_section_that_it_jumps_to(tmp_path: Path) -> None:
    head = """
    vars: {a: {type: integer}}
    handlers: [{event: hangup, steps: [{set: {a: 1}}, {goto: after}, {set: {a: 9}}]}]
    sections: {after: [{set: {a: "${vars.a + 1}"}}, {goto: more}], more: [{set: {a: "${vars.a + 1}"}}, {stop: {}}]}
    """
    over = await dial(library(tmp_path, flow("- say: Hello.", head=head)))
    assert over.call.walker.vars["a"] == 3
    assert over.ways[-2:] == [("set", "done"), ("stop", "done")]


@virtual_time
async def test_a_hangup_handler_that_goes_round_comes_to_its_end(tmp_path: Path) -> None:
    head = "handlers: [{event: hangup, goto: a}]\nsections: {a: [{set: {}}, {goto: a}]}"
    over = await dial(library(tmp_path, flow("- say: Hello.", head=head)))
    assert over.ways[-1] == ("goto", "error")
    assert over.record.outcome == "completed"


@virtual_time
async def test_a_step_that_needs_the_caller_ends_a_hangup_handler(tmp_path: Path) -> None:
    """However it came in: here the handler was put there behind the check's back."""
    head = "vars: {a: {type: integer}, b: {type: integer}}"
    late = flow("- set: {a: 1}\n- say: Too late.\n- set: {b: 1}", name="late", head=head)
    house = library(tmp_path, flow("- say: Hello.", head=head), late)
    handler = Handler("hangup", None, house.flows["late"].steps, None, house.flows["late"].steps[0].where)
    made = dataclasses.replace(house.flows["test"], handlers=(handler,))
    over = await dial(dataclasses.replace(house, flows={"test": made}))
    assert over.heard == ["Hello."]
    assert (over.call.walker.vars["a"], over.call.walker.vars["b"]) == (1, 0)
    assert over.record.outcome == "completed"


# ── The last word is heard ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("says", "heard"), [(2000, "Goodbye then."), (9000, "Goodbye then.…")])
@virtual_time
async def test_the_last_word_is_heard_for_four_seconds_at_most(tmp_path: Path, says: int, heard: str) -> None:
    over = await talk(tmp_path, asks, [Says("Goodbye then.", says), finish()], after="- say: Next.\n")
    assert over.heard == ["Hello.", heard, "Next."]


# ── A flow that is called shares nothing ──────────────────────────────────────────────────────────────────────────────

KEY = "handlers: [{event: dtmf, digits: '0', steps: [{say: %s}, %s]}]\n"
STORY = "- say: A long story about a man and his dog."


@virtual_time
async def test_a_called_flow_shares_nothing_but_the_call(tmp_path: Path) -> None:
    inner = flow(
        "- id: one\n  set: {a: inner, b: '${caller.number}'}\n- return: {b: '${vars.a} ${vars.b}'}", name="inner",
        head="vars: {a: {type: string}, b: {type: string}}",
    )  # fmt: skip
    outer = flow(
        "- id: one\n  call: {flow: inner}\n  save: {b: string}\n  outcomes: {error: []}\n"
        '- say: "${vars.a} ${steps.one.b}"',
        head="vars: {a: {type: string, default: outer}}",
    )
    over = await dial(library(tmp_path, outer, inner))
    assert over.heard == [f"outer inner {over.line.facts.caller}"]


def test_a_called_flow_cannot_name_what_its_caller_has(tmp_path: Path) -> None:
    inner = flow("- say: ${vars.a}\n- goto: s", name="inner")
    head = "vars: {a: {type: string}}\nsections: {s: [{say: Hi.}]}"
    loaded = load(tmp_path, flow("- call: {flow: inner}\n  outcomes: {error: []}\n- goto: s", head=head), inner)
    assert [(problem.code, Path(problem.file).name) for problem in loaded.problems if problem.code < "W"] == [
        ("E301", "1.flow.yaml"), ("E302", "1.flow.yaml"),
    ]  # fmt: skip


@pytest.mark.parametrize(("own", "heard"), [(True, "Inner."), (False, "Outer.")])
@virtual_time
async def test_its_own_handlers_answer_before_those_that_it_inherits(tmp_path: Path, own: bool, heard: str) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.5)
        await line.caller.presses("0")

    outer = flow("- call: {flow: inner}\n  outcomes: {error: []}", head=KEY % ("Outer.", "{hangup: {}}"))
    inner = flow(STORY, name="inner", head=KEY % ("Inner.", "{return: {}}") if own else "")
    over = await dial(library(tmp_path, outer, inner), script)
    assert over.heard == ["A long story about a man and his dog.…", heard]


# ── A call outlives its engine ────────────────────────────────────────────────────────────────────────────────────────

RECOVERS = """
recover: again
vars: {customer: {type: string}, pin: {type: string, sensitive: true}}
sections:
  again: [{say: "Excuse me, ${vars.customer}${vars.pin}."}, {hangup: {}}]
"""


@virtual_time
async def test_a_call_outlives_its_engine(tmp_path: Path) -> None:
    steps = "- set: {customer: Ada, pin: '4711'}\n- say: {text: What may it be?, loop: 100}"
    flows = library(tmp_path, flow(steps, head=RECOVERS))
    left = await crash(flows, hears_the_question)
    async with engine(flows, left) as made:
        line = made.left_over()
        await line.caller.hears("Excuse me, Ada.")
    assert made.record.outcome == "completed"


@virtual_time
async def test_the_flow_that_took_the_call_counts_not_one_that_it_called(tmp_path: Path) -> None:
    inner = flow(
        "- say: {text: What may it be?, loop: 100}",
        head="recover: never\nsections: {never: [{say: Never.}]}", name="inner",
    )  # fmt: skip
    outer = flow("- set: {customer: Ada}\n- call: {flow: inner}", head=RECOVERS)
    flows = library(tmp_path, outer, inner, files={"routes.yaml": "routes: [{match: {}, flow: test}]\n"})
    left = await crash(flows, hears_the_question)
    async with engine(flows, left) as made:
        line = made.left_over()
        await line.caller.hears("Excuse me, Ada.")
    assert [(step.path, step.outcome) for step in made.record.steps][1:4] == [
        ("steps/1", "cancelled"), ("steps/0", "cancelled"), ("sections/again/0", "done"),
    ]  # fmt: skip
