"""A folder with a flow and a test of it, written for one test of ours."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

from engine.scenario import Result, Scenario, ScenarioReader, run_scenario
from engine.verb import installed
from flows.language import Language

RESOURCES = """
calendars: {office: {timezone: Europe/Berlin, open: {mon-fri: ["09:00-18:00"]}}}
endpoints: {pos: {base_url: "https://pos.example", timeout: 5s}}
destinations: {desk: "pjsip:desk"}
"""
FLOW = """
flow: shop
vars: {order: {type: string}, count: {type: integer, default: 2}}
input: {greeting: {type: string, default: Hello}}
handlers: [{event: error, goto: person}]
steps:
  - check_hours: office
    outcomes: {closed: [{hangup: {result: closed}}]}
  - id: choice
    menu: {say: "${input.greeting} ${caller.name}. Press 1.", timeout: 3s, retries: 0}
    outcomes: {"1": [], no_input: [{goto: person}]}
  - id: talk
    converse:
      greeting: What may it be?
      tools:
        price:
          {description: A price., input: {dish: {type: string}}, http: {endpoint: pos, path: "/price?of=${input.dish}"}}
      collect: {into: order, schema: {type: string}}
      exits: {ordered: {requires: [order]}, person: {}}
    outcomes: {person: [{goto: person}]}
  - id: book
    http: {endpoint: pos, method: POST, path: /orders, json: {dish: "${vars.order}", count: "${vars.count}"}}
    outcomes: {http_error: [{goto: person}]}
  - say: Thank you.
  - hangup: {result: ordered}
sections:
  person:
    - id: handoff
      transfer: {attempts: [{targets: [desk], timeout: 20s}]}
      outcomes: {failed: [{say: Nobody is there.}]}
    - hangup: {}
"""
HEAD = """
test: it
flow: shop
given: {now: "2026-01-05T10:00:00+01:00"}
"""
MOCKS = """
mocks:
  http:
    - {match: {path: "/price*"}, json: {price: 9}}
    - {match: {endpoint: pos, method: POST}, json: {ref: A1}}
  targets: {desk: {answer: 4s, hangs_up_after: 10s}}
"""


def write(folder: Path, test: str, flow: str = FLOW) -> Path:
    """The files; gives the test's."""
    (folder / "resources.yaml").write_text(RESOURCES)
    (folder / "shop.flow.yaml").write_text(flow)
    path = folder / "shop.test.yaml"
    path.write_text(test.lstrip("\n"))
    return path


def read(folder: Path, test: str, flow: str = FLOW) -> list[Scenario]:
    """The tests of a file without mistakes."""
    file = ScenarioReader(Language(installed())).read(write(folder, test, flow))
    assert [str(problem) for problem in file.problems] == []
    return list(file.scenarios)


def play(folder: Path, script: str, head: str = HEAD + MOCKS, always: str = "", flow: str = FLOW) -> Result:
    """One test with this script."""
    text = head.lstrip("\n") + "script:\n" + indent(dedent(script).strip("\n"), "  ") + "\n" + dedent(always)
    return run_scenario(read(folder, text, flow)[0])


def unmet(result: Result) -> list[tuple[str, str]]:
    """What was expected, and what came instead."""
    return [(failure.expected, failure.actual) for failure in result.failures]


def mistakes(folder: Path, test: str, flow: str = FLOW) -> list[str]:
    """What is said of a file, without its name."""
    file = ScenarioReader(Language(installed())).read(write(folder, test, flow))
    assert file.scenarios == ()
    return [str(problem).rpartition("shop.test.yaml:")[2] for problem in file.problems]
