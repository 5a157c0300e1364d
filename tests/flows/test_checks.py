"""What the check sees in a flow as a whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Problems = Callable[..., list[str]]

RING = '{attempts: [{targets: ["pjsip:a"]}]}'


@pytest.fixture
def found(problems: Problems) -> Callable[[str], list[str]]:
    """``line:column code`` of each problem of a flow."""

    def found(flow: str) -> list[str]:
        lines = problems("flow: f\n" + flow)
        return [
            f"{line.split(':')[1]}:{line.split(':')[2]} {line[line.index('[') + 1 : line.index(']')]}" for line in lines
        ]

    return found


@pytest.mark.parametrize(
    ("step", "handlers", "expected"),
    [
        (f"transfer: {RING}", "", ["4:5 W401"]),
        (f"transfer: {RING}", "[{event: error, steps: []}]", ["4:5 W401"]),
        (f"transfer: {RING}, outcomes: {{failed: []}}", "", []),
        (f"transfer: {RING}, outcomes: {{busy: []}}", "", ["4:5 W401"]),
        (f"transfer: {RING}, outcomes: {{busy: []}}", "[{event: error, steps: []}]", []),
        (f"transfer: {RING}, catch: []", "", []),
        (f"transfer: {RING}, disabled: true", "", []),
        ("http: {endpoint: pos, path: /}", "", ["4:5 W401"]),
        ("http: {endpoint: pos, path: /}", "[{event: error, steps: []}]", []),
        ("http: {endpoint: pos, path: /}, outcomes: {timeout: []}", "", ["4:5 W401"]),
        ("http: {endpoint: pos, path: /}, outcomes: {timeout: [], http_error: []}", "", []),
        (
            "converse: {}, outcomes: {max_duration: []}",
            "[{event: silence, steps: []}, {event: provider_down, steps: []}]",
            [],
        ),
        ("converse: {}, outcomes: {max_duration: []}", "[{event: silence, steps: []}]", ["4:5 W401"]),
        ("menu: {say: Hi}, outcomes: {no_input: [{http: {endpoint: pos, path: /}}], no_match: []}, catch: []", "", []),
        ("repeat: {max: 2, steps: [{http: {endpoint: pos, path: /}}]}, catch: []", "", []),
        ("say: Hi, catch: [{http: {endpoint: pos, path: /}}]", "", ["4:23 W401"]),
    ],
)
def test_every_bad_end_needs_an_answer(
    found: Callable[[str], list[str]], step: str, handlers: str, expected: list[str]
) -> None:
    assert found(f"handlers: {handlers or '[]'}\nsteps:\n - {{{step}}}\n") == expected


def test_a_step_behind_one_that_does_not_go_on_is_never_reached(found: Callable[[str], list[str]]) -> None:
    flow = """steps:
  - {hangup: {}, when: "true"}
  - menu: {say: Hi}
    outcomes: {no_input: [{goto: a}, {say: never}], no_match: []}
  - {hangup: {}, disabled: true}
  - say: reached
sections:
  a: [{hangup: {}}]
"""
    assert found(flow) == ["5:39 W402"]


def test_a_section_that_nothing_leads_to_is_never_reached(found: Callable[[str], list[str]]) -> None:
    flow = """recover: saved
handlers: [{event: error, goto: failed}]
steps: [{goto: first}]
sections:
  first: [{call: {section: second}}]
  second: [{say: Hi}]
  failed: [{say: Hi}]
  saved: [{say: Hi}]
  lost: [{goto: also_lost}]
  also_lost: [{say: Hi}]
"""
    assert found(flow) == ["10:3 W402", "11:3 W402"]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ("a: [{goto: a}]", ["5:8 W403"]),
        ("a: [{say: Hi}, {goto: b}]\n  b: [{say: Hi}, {goto: a}]", ["5:19 W403", "6:19 W403"]),
        ("a: [{menu: {say: Hi}, outcomes: {no_input: [{goto: a}], no_match: []}}, {goto: a}]", []),
        ("a: [{repeat: {max: 2, steps: [{menu: {say: Hi}, catch: []}]}}, {goto: a}]", []),
        ("a: [{check_hours: office, outcomes: {closed: [{goto: a}]}}]", ["5:50 W403"]),
        ("a: [{menu: {say: Hi}, when: vars.x > 1, catch: []}, {goto: a}]", ["5:56 W403"]),
    ],
)
def test_a_loop_without_the_caller_is_told(
    found: Callable[[str], list[str]], sections: str, expected: list[str]
) -> None:
    flow = f"vars: {{x: {{type: integer}}}}\nsteps: [{{goto: a}}]\nsections:\n  {sections}\n"
    assert found(flow) == expected


def test_a_key_that_a_menu_reads_itself_is_told(problems: Problems) -> None:
    flow = """flow: f
handlers: [{event: dtmf, digits: "0", steps: []}]
steps:
  - menu: {say: Hi}
    outcomes: {"0": [], "1": [], no_input: [], no_match: []}
  - menu: {say: Hi}
    outcomes: {"1": [], no_input: [], no_match: []}
"""
    assert problems(flow) == [
        "f.flow.yaml:4:5: warning[W404]: key '0' belongs to this step while it runs; the dtmf handler in line 2 does "
        "not fire here"
    ]


def test_the_hangup_handler_has_no_caller(found: Callable[[str], list[str]]) -> None:
    flow = """handlers:
  - event: hangup
    steps: [{http: {endpoint: pos, path: /}, catch: []}, {set: {}}, {say: Hi}]
  - {event: hangup, goto: later}
steps: [{say: Hi}]
"""
    assert found(flow) == ["4:70 E308", "5:5 E307", "5:27 E302"]


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ("{event: eror, goto: a}", "3:13 E203"),
        ("{goto: a}", "3:5 E203"),
        ("{event: dtmf, goto: a}", "3:5 E202"),
        ("{event: dtmf, digits: x, goto: a}", "3:27 E203"),
        ("{event: error, digits: 1, goto: a}", "3:20 E201"),
        ("{event: error}", "3:5 E202"),
        ("{event: error, goto: a, steps: []}", "3:5 E202"),
        ("{event: error, goot: a, goto: a}", "3:20 E201"),
        ("error", "3:5 E203"),
    ],
)
def test_handlers_are_checked(found: Callable[[str], list[str]], handler: str, expected: str) -> None:
    lines = found(f"handlers:\n  - {handler}\nsteps: [{{goto: a}}]\nsections: {{a: [{{say: Hi}}]}}\n")
    assert expected in lines
    assert len([line for line in lines if not line.endswith("W402")]) == 1


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("vars: {a: string}", "2:11 E203"),
        ("vars: {a: {type: strng}}", "2:18 E203"),
        ("vars: {a: {default: 1}}", "2:11 E203"),
        ("vars: {a: {type: integer, default: x}}", "2:36 E203"),
        ("vars: {a: {type: integer, default: true}}", "2:36 E203"),
        ("vars: {a: {type: integer, defualt: 1}}", "2:27 E201"),
        ("vars: {a-b: {type: integer}}", "2:8 E203"),
        ("vars: {'no': {type: integer}}", "2:8 E105"),
        ("vars: []", "2:7 E203"),
        ("version: one", "2:10 E203"),
        ("defaults: {max_call: 15}", "2:22 E203"),
        ("defaults: {sey: {}}", "2:12 E205"),
        ("defaults: {say: Hi}", "2:17 E203"),
        ("recover: nowhere", "2:10 E302"),
        ("step: []", "2:1 E201"),
        ("sections: {a: {}}", "2:15 E203"),
        ("sections: {a: []}", "2:15 E203"),
    ],
)
def test_the_head_is_checked(found: Callable[[str], list[str]], head: str, expected: str) -> None:
    assert expected in found(f"{head}\nsteps: [{{say: Hi}}]\n")


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ("steps: [{say: Hi}]", "1:1: error[E202]: a flow needs a name, such as 'flow: bella/orders'"),
        ("flow: a b\nsteps: [{say: Hi}]", "1:7: error[E203]: a flow needs a name, such as 'flow: bella/orders'"),
        ("flow: a", "1:1: error[E202]: a flow needs 'steps'"),
        ("flow: a\nsteps: {}", "2:8: error[E203]: this must be a list of steps, each starting with '- '"),
        ("- say: Hi", "1:1: error[E203]: a flow is a mapping that begins with 'flow: NAME'"),
        ("", "1:1: error[E203]: a flow is a mapping that begins with 'flow: NAME'"),
    ],
)
def test_what_is_no_flow(problems: Problems, flow: str, expected: str) -> None:
    assert problems(flow) == [f"f.flow.yaml:{expected}"]


def test_two_flows_of_one_name(problems: Problems) -> None:
    one = "flow: a\nsteps: [{say: Hi}]\n"
    assert problems(files={"a.flow.yaml": one, "b.flow.yaml": one}) == [
        "b.flow.yaml:1:7: error[E307]: flow 'a' is in a.flow.yaml already"
    ]


def test_what_a_restart_forgets_is_told(problems: Problems) -> None:
    flow = """flow: f
recover: again
vars: {kept: {type: string}}
steps:
  - id: number
    menu: {say: Hi}
    catch: []
  - set: {kept: "${steps.number.outcome}"}
  - goto: desk
sections:
  again: [{id: sorry, say: Sorry}, {goto: desk}]
  desk:
    - say: ${vars.kept} ${steps.sorry.outcome} ${steps.number.outcome}
    - say: Bye
      when: steps.number.outcome == "1"
  other: [{say: "${steps.number.outcome}"}]
handlers: [{event: error, goto: other}]
"""
    told = problems(flow)
    assert [line.split("warning")[0] for line in told] == ["f.flow.yaml:13:50: ", "f.flow.yaml:15:13: "]
    assert all("[W406]: steps.number is empty when a call goes on here" in line for line in told)
    assert problems(flow.replace("recover: again\n", "").replace("goto: desk\nsections", "goto: again\nsections")) == []


def test_a_name_that_is_reserved_is_told_once_and_not_at_its_uses(problems: Problems) -> None:
    flow = """flow: f
vars: {n: {type: integer}, in: {type: integer}, a-b: {type: string}, "a.c d": {type: string}, "null": {type: any}}
steps:
  - set: {n: 3, in: 4, a-b: x}
  - say: ${vars.n} ${vars.in} ${vars.a-b} ${vars.null}
  - {id: no, say: x}
  - {id: a.b c, say: x}
  - say: ${steps.no.outcome} ${vars.n + 'x'}
  - goto: y
sections:
  y: [{hangup: {}}]
"""
    assert [line.split("f.flow.yaml:")[1].split(":", 2)[:2] for line in problems(flow)] == [
        ["2", "8"], ["2", "28"], ["2", "49"], ["2", "70"], ["2", "95"], ["6", "10"], ["7", "10"], ["8", "39"],
        ["11", "3"],
    ]  # fmt: skip


def test_a_reserved_word_elsewhere_is_told(found: Callable[[str], list[str]]) -> None:
    flow = "vars: {n: {type: integer}}\nsteps: [{say: Hi, disabled: no}]\n"
    assert found(flow) == ["2:8 E105", "3:29 E105", "3:29 E203"]


def test_all_mistakes_of_a_handler_are_told(found: Callable[[str], list[str]]) -> None:
    flow = """handlers:
  - {event: eror, gooto: a, steps: [{say: 5}]}
  - {event: dtmf, digits: x, goto: nowhere, steps: [{say: 6}]}
  - {event: eror, goto: a}
steps: [{say: Hi}]
sections: {a: [{say: Hi}]}
"""
    assert found(flow) == [
        "3:13 E203", "3:19 E201", "3:43 E203", "4:5 E202", "4:27 E203", "4:36 E302", "4:59 E203", "5:13 E203",
    ]  # fmt: skip
