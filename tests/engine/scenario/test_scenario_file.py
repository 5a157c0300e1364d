"""Test files are read strictly: every mistake at its place, with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.scenario import ScenarioReader, found
from engine.verb import installed
from flows.language import Language
from tests.engine.scenario.folder import FLOW, mistakes, read, write

T = "test: it\nflow: shop\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("test: it\nflow: shopp\n", "2:7: error[E302]: unknown flow 'shopp' (did you mean 'shop'?)"),
        ("test: it\n", "1:1: error[E202]: a test needs 'flow'"),
        (T + "scrpit: []\n", "3:1: error[E201]: unknown key 'scrpit' (did you mean 'script'?)"),
        (
            T + "script: [{expext: {step: talk}}]\n",
            "3:11: error[E204]: exactly one of expect, caller, says, beeps, press, silence, event, costs, "
            "hangs_up must stand here; this has none of them (did you mean 'expect'?)",
        ),
        (T + "script:\n  - press:\n", "4:5: error[E203]: 'press' has no value"),
        (
            T + 'script:\n  - {press: "1", silence: 5s}\n',
            "4:18: error[E204]: exactly one of expect, caller, says, beeps, press, silence, event, costs, "
            "hangs_up must stand here; this has press and silence",
        ),
        (
            T + "script: [{expect: {step: tlak}}]\n",
            "3:26: error[E302]: unknown step 'tlak' (did you mean 'talk'?)",
        ),
        (
            T + "script: [{expect: {step: talk, outcome: orderd}}]\n",
            "3:41: error[E303]: unknown outcome of talk 'orderd' (did you mean 'ordered'?)",
        ),
        (
            T + "script: [{expect: {outcome: ordered, says: Hi}}]\n",
            "3:20: error[E202]: 'outcome' needs the 'step' that ends so",
        ),
        (
            T + "script: [{caller: Hi, converse: {exit: persn}}]\n",
            "3:40: error[E303]: unknown exit 'persn' (did you mean 'person'?)",
        ),
        (
            T + "script: [{caller: Hi, converse: {tools: {prise: {}}}}]\n",
            "3:42: error[E302]: unknown tool 'prise' (did you mean 'price'?)",
        ),
        (
            T + "script: [{press: 1, converse: {exit: person}}]\n",
            "3:21: error[E202]: 'converse' says what the AI does when the caller has spoken: it stands beside 'caller'",
        ),
        (T + "script: [{silence: 5}]\n", "3:20: error[E203]: 5 is not a duration; give it a unit, such as 5s or 2m"),
        (
            T + "script: [{expect: {says: {matches: '('}}}]\n",
            "3:36: error[E203]: 'matches' is not a regular expression: missing )",
        ),
        (
            T + "given: {now: 2026-01-05}\n",
            "3:14: error[E203]: '2026-01-05' is not a date and time with its zone, such as "
            '"2026-12-25T22:10:00-05:00"',
        ),
        (T + "given: {vars: {cuont: 3}}\n", "3:16: error[E302]: unknown variable 'cuont' (did you mean 'count'?)"),
        (
            T + "given: {vars: {count: many}}\n",
            "3:23: error[E203]: count is declared as integer, but the value is string",
        ),
        (
            T + "given: {input: {greetin: Hi}}\n",
            "3:17: error[E302]: unknown input 'greetin' (did you mean 'greeting'?)",
        ),
        (
            T + "mocks: {targets: {dsk: busy}}\n",
            "3:19: error[E302]: unknown destination 'dsk' (did you mean 'desk'?)",
        ),
        (T + "mocks: {targets: {desk: bsuy}}\n", "3:25: error[E203]: 'bsuy' is no answer (did you mean 'busy'?)"),
        (
            T + "mocks: {targets: {desk: {answer: 5s, hang_up_after: 3s}}}\n",
            "3:38: error[E201]: unknown key 'hang_up_after' (did you mean 'hangs_up_after'?)",
        ),
        (
            T + "mocks: {http: [{match: {endpoint: poss}}]}\n",
            "3:35: error[E302]: unknown endpoint 'poss' (did you mean 'pos'?)",
        ),
        (
            T + "always: [{never: {hangup_by: nobody}}]\n",
            "3:30: error[E203]: 'nobody' is not one of 'caller', 'flow', 'target' or 'engine'",
        ),
        ("[]\n", "1:1: error[E203]: a test is a mapping that begins with 'test: WHAT IT SHOWS'"),
        ("tests: []\n", "1:8: error[E203]: 'tests' must be a list of tests"),
        ("flow: shop\ntests: [1]\n", "2:9: error[E203]: a test is a mapping that begins with 'test: WHAT IT SHOWS'"),
        ("script: []\ntests: [{test: it, flow: shop}]\n", "1:1: error[E201]: unknown key 'script'"),
        (T + "\tscript: []\n", "3:1: error[E102]: not valid YAML: a tab cannot indent YAML; use spaces"),
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, text: str, said: str) -> None:
    problems = mistakes(tmp_path, text)
    assert len(problems) == 1
    assert problems[0].startswith(said)


def test_an_exit_may_be_null(tmp_path: Path) -> None:
    file = write(tmp_path, T + "script:\n  - {caller: Yes., converse: {exit: null}}\n")
    assert ScenarioReader(Language(installed())).read(file).problems == ()


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = (
        T + "given: {vars: {cuont: 3}}\nscript:\n  - expect: {step: tlak}\n  - {caller: Hi, converse: {exit: persn}}\n"
    )
    assert [problem.split(":")[0] for problem in mistakes(tmp_path, text)] == ["3", "5", "6"]


def test_what_a_file_says_for_all_of_its_tests_a_test_can_say_otherwise(tmp_path: Path) -> None:
    text = """
flow: shop
given: {did: "+1"}
always: [{never: {hangup_by: engine}}]
tests:
  - test: one
  - {test: two, given: {did: "+2"}, always: []}
"""
    one, two = read(tmp_path, text)
    assert (one.name, one.fields.given.did, len(one.fields.always)) == ("one", "+1", 1)
    assert (two.name, two.fields.given.did, len(two.fields.always)) == ("two", "+2", 0)
    assert one.fields.where.line == 5


def test_a_flow_with_a_mistake_is_told_of_instead_of_its_tests(tmp_path: Path) -> None:
    path = write(tmp_path, T, FLOW.replace("menu:", "menuu:"))
    file = ScenarioReader(Language(installed())).read(path)
    assert file.scenarios == ()
    assert any("shop.flow.yaml:10:5: error[E205]" in str(problem) for problem in file.problems)


def test_input_without_a_default_must_be_given(tmp_path: Path) -> None:
    flow = FLOW.replace("{type: string, default: Hello}", "{type: string}")
    assert mistakes(tmp_path, T, flow) == ["2:7: error[E202]: the flow 'shop' needs the input 'greeting'"]


def test_test_files_are_found_in_folders_but_not_in_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.test.yaml", "a/c.test.yaml", ".venv/d.test.yaml", "a/e.flow.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    b, c = tmp_path / "b.test.yaml", tmp_path / "a/c.test.yaml"
    assert found([tmp_path, b]) == found([b, tmp_path]) == {c: tmp_path, b: None}, "who was named, and who was found"


BESIDE = [
    """
test: it
flow: shop
given: {did: »4, vars: {»ordr: x}, nwo: x}
mocks:
  http: [{match: {endpoint: »poss, »methd: GET}, status: »9}]
  targets: {desk: »buzy, »dsek: {answer: 4s}}
script:
  - expect: {step: »tlak}
  - expect: {step: talk, outcome: »orderd, within: »5}
  - {caller: Hi, converse: {exit: »persn, tools: {»prise: {}}, »sayz: x}}
  - {press: "1", »silence: 5s}
  - {»presss: "1"}
  - expect: {»outcome: ordered, http: {endpoint: »ops}}
  - expect: {transfer: {target: »dsek, status: »buzy}}
  - {event: {name: »payd, »dta: 1}}
always: [{never: {step: »tlk}}, {never: {»stp: talk}}]
""".replace("nwo", "»nwo"),
    "test: it\nflow: »shopp\n»scrpit: []\nscript: [{press: »x}]\n",
    "»test: it\nscript: [{press: »x}, {expect: {step: tlak}}]\n",
]


@pytest.mark.parametrize("text", BESIDE)
def test_one_mistake_hides_no_other(tmp_path: Path, text: str) -> None:
    expected, rest = [], ""
    for number, line in enumerate(text.lstrip("\n").splitlines(), 1):
        while "»" in line:
            expected.append(f"{number}:{line.index('»') + 1}")
            line = line.replace("»", "", 1)
        rest += line + "\n"
    said = mistakes(tmp_path, rest)
    assert [one.split(": error")[0] for one in said] == expected, "\n".join(said)
