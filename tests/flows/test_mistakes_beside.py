"""One wrong field hides nothing: what else is wrong with its step is told in the same run, but nothing that only
follows from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

import flows
from engine.verb import installed
from flows import reader
from flows.json_schema import plain
from flows.language import Language
from flows.steps import COMMON_KEYS

EXAMPLES = Path(flows.__file__).parent / "examples"
SOURCES = sorted(EXAMPLES.glob("*/*.flow.yaml"))
VERBS = installed()
RESOURCES = """
destinations: {desk: "pjsip:desk"}
endpoints: {pos: {base_url: "https://pos.example"}}
"""
HEAD = """\
flow: f
vars: {num: {type: integer}, pin: {type: string, sensitive: true}}
handlers: [{event: error, goto: s}]
sections: {s: [{hangup: {}}]}
steps:
"""


def steps_of(value: Any) -> Iterator[dict[str, Any]]:
    """Every step of a flow, however deep."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("vars", "input", "schema", "options"):
                yield from steps_of(item)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict) and len(set(item) - set(COMMON_KEYS)) == 1 and set(item) & set(VERBS):
                yield item
            yield from steps_of(item)


def messages(folder: Path, source: Path, spoil: Callable[[list[dict[str, Any]]], None]) -> list[str]:
    """What the check says of an example whose steps were spoilt."""
    house = shutil.copytree(source.parent, folder / "house", dirs_exist_ok=True)
    tree, problems = reader.read(str(source), source.read_bytes())
    assert not problems
    flow = plain(tree)
    spoil(list(steps_of(flow)))
    (house / source.name).write_text(json.dumps(flow, indent=1))
    return [problem.message for problem in Language(VERBS).load([house]).problems]


def fields_of(step: dict[str, Any]) -> dict[str, Any]:
    """The fields of a step's verb, written out."""
    (name,) = set(step) - set(COMMON_KEYS)
    if not isinstance(step[name], dict):
        step[name] = {VERBS[name].shorthand: step[name]}
    return step[name]  # type: ignore[no-any-return]


def plant(number: int, step: dict[str, Any]) -> None:
    """What does not depend on the fields."""
    step["when"] = f"vars.nosuch_{number} == 1"
    step["retry"] = {"max": 2, f"unknown_retry_{number}": 1}
    step["outcomes"] = {**step.get("outcomes", {}), f"nosuch_outcome_{number}": []}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_an_unknown_field_in_every_step_hides_none_of_its_other_mistakes(tmp_path: Path, source: Path) -> None:
    planted, anything = 0, set()  # `return` takes any key

    def spoil(steps: list[dict[str, Any]]) -> None:
        nonlocal planted
        planted = len(steps)
        for number, step in enumerate(steps):
            plant(number, step)
            fields_of(step)[f"zzz_{number}"] = 1
            anything.update({number} if "return" in step else ())

    said = messages(tmp_path, source, spoil)
    assert planted
    for number in range(planted):
        assert any(f"'vars.nosuch_{number}'" in one for one in said), (number, said)
        assert any(f"'unknown_retry_{number}'" in one for one in said), (number, said)
        assert any(f"'nosuch_outcome_{number}'" in one for one in said), (number, said)
        assert number in anything or any(f"'zzz_{number}'" in one for one in said), (number, said)


@pytest.mark.parametrize("nth", range(4))
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_wrong_value_hides_nothing_that_does_not_depend_on_it(tmp_path: Path, source: Path, nth: int) -> None:
    planted = 0

    def spoil(steps: list[dict[str, Any]]) -> None:
        nonlocal planted
        planted = len(steps)
        for number, step in enumerate(steps):
            plant(number, step)
            fields = fields_of(step)
            simple = [key for key, value in fields.items() if not isinstance(value, list | dict)]
            if nth < len(simple):
                fields[simple[nth]] = [[[]]]

    said = messages(tmp_path, source, spoil)
    for number in range(planted):
        assert any(f"'vars.nosuch_{number}'" in one for one in said), (number, said)
        assert any(f"'unknown_retry_{number}'" in one for one in said), (number, said)


# Steps with every mistake marked by »; there are no others.
BESIDE = [
    """
- http: {endpoint: pos, path: "/x", »methud: GET}
  when: »${vars.num > 1}
  outcomes: {»http_eror: []}
""",
    """
- say: {text: x, loop: »0}
  when: »vars.nuum > 1
  outcomes: {»interupted: []}
  retry: »{max: 100, delay: »5, »dely: 1s, backoff: »0}
  timeout: »5
  disabled: »maybe
  note: »[]
""",
    """
- transfer:
    accept: {digit: »"11"}
    attempts: [{targets: [»one, »two]}, {targets: [»three, »four]}]
  outcomes: {»faild: []}
""",
    '- http: {endpoint: pos, path: "/x/${»vars.pin}", method: »GETT}',
    '- http: {endpoint: »poss, path: »5, method: GET, json: "${»vars.nosuch}"}\n  »save: {a: »strng}',
    # what follows from a mistake is not told
    "- id: g\n  gather: {say: Hi, input: »speach, hints: [a]}\n- say: ${steps.g.text}",
    "- id: h\n  http: {endpoint: pos, path: /, »wiat: false}\n  save: {a: string}\n- say: ${steps.h.a}",
    "- play: {»fil: x.wav, loop: »0}\n  outcomes: {http_error: [], timeout: []}",
    "- play: {»sound: x.wav}",
    "- play: {endpoint: pos, path: »5}\n  outcomes: {http_error: [], timeout: []}",
    "- converse: {exits: {gone: »5, »silence: {}, here: {»descripton: x}}}\n"
    "  outcomes: {gone: [], here: [], silence: [], provider_error: [], max_duration: [], »nosuch: []}",
    "- converse: {exits: »[], tools: {look: »{when: »vars.nosuch > 1, http: »{endpoint: »poss}}}}\n  outcomes: {a: []}",
    # each at the key concerned
    "- converse: {exits: {»silence: {}, »done: {}, »error: {}}, tools: {»finish: {description: x, hangup: {}},"
    " »'a b': {description: x, »hangup: {}, set: {}}}}",
    "- converse:\n    tools:\n      look:\n        »description: x\n        when: »vars.nosuch\n"
    "    exits: {a: {requires: [»nosuch]}}\n  outcomes: {a: [], »b: []}",
    "- gather: {say: Hi, digits: 3, »least: 4, »hints: [a], »pause: 1s}",
    "- converse: {provider: [rehearsal, »rehearsal]}",
    "- transfer: {accept: {digit: '1', »decline: '1'}, brief: {text: x, »auto: true}, attempts: [{targets: [»a]}]}",
    "- split: {weights: {a: 1, »done: 1, »error: 1}}\n  outcomes: {a: [], »b: []}",
    "- wait_for: {event: dtmf, »name: x, »caller_hears: music}",
    "- record: {action: stop, »channels: 1, »announce: x}",
    "- call: {section: s, »input: {a: 1}}",
    "- transfer: {attempts: [{»target: [a]}]}",
    "- transfer: {attempts: [»{}, {targets: »[]}]}",
    "- repeat: {max: »0, steps: [{id: a, say: {text: »5}}, {id: b, say: »6}]}\n- say: ${steps.a.outcome}",
    '- send_dtmf: »12\n- send_dtmf: {digits: "12", »digit: 1}',
    "- switch: [{when: '»${true}', steps: [{say: »5}]}, {»step: []}]",
    "- hangup: »5\n  when: »vars.nosuch\n  outcomes: {a: »5}",
]


@pytest.mark.parametrize("text", BESIDE)
def test_every_mistake_of_a_step_is_told_at_once_and_nothing_else(tmp_path: Path, text: str) -> None:
    written = HEAD + indent(text.strip("\n"), "  ") + "\n"
    expected, rest = [], ""
    for number, line in enumerate(written.splitlines(), 1):
        while "»" in line:
            expected.append((number, line.index("»") + 1))
            line = line.replace("»", "", 1)
        rest += line + "\n"
    (tmp_path / "resources.yaml").write_text(RESOURCES)
    (tmp_path / "f.flow.yaml").write_text(rest)
    problems = [one for one in Language(VERBS).load([tmp_path]).problems if one.severity == "error"]
    assert [(one.line, one.column) for one in problems] == expected, "\n".join(map(str, problems))
