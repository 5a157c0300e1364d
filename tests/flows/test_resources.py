"""resources.yaml and routes.yaml."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.language import Loaded
from flows.resources import Destination, Endpoint, Prompt

Load = Callable[..., Loaded]
FLOWS = {f"{name}.flow.yaml": f"flow: {name}\nsteps: [{{say: Hi}}]\n" for name in ("day", "night", "any")}
CALENDARS = """
calendars:
  office: {timezone: UTC, open: {mon-fri: ["09:00-18:00"]}}
"""


def test_endpoints_destinations_and_prompts(load: Load) -> None:
    resources = """
    endpoints:
      pos:
        base_url: https://pos.example/api/
        headers: {Authorization: {secret: POS_TOKEN}, X-Site: bella}
        timeout: 2s
      crm: {base_url: "http://crm.example:8080"}
    destinations: {front: "pjsip:front-desk", boss: {target: "tel:+14155550100"}}
    prompts: {closed: We are closed., open: {text: We are open.}, jingle: {file: sounds/jingle.wav}}
    """
    loaded = load(
        files={**FLOWS, "sounds/jingle.wav": b"RIFF", "routes.yaml": "routes: [{flow: any}]"}, resources=resources
    )
    assert loaded.problems == []
    assert loaded.library is not None
    found = loaded.library.resources
    assert found.endpoints == {
        "pos": Endpoint(
            "pos", "https://pos.example/api", {"Authorization": {"secret": "POS_TOKEN"}, "X-Site": "bella"}, 2.0
        ),
        "crm": Endpoint("crm", "http://crm.example:8080", {}, 5.0),
    }
    assert found.destinations["boss"] == Destination("boss", "tel:+14155550100")
    assert found.prompts == {
        "closed": Prompt("closed", text="We are closed."),
        "open": Prompt("open", text="We are open."),
        "jingle": Prompt("jingle", path=Path("sounds/jingle.wav")),
    }


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ("calender: {}", "1:1 E201"),
        ("calendars: []", "1:12 E203"),
        ("calendars: {a: x}", "1:16 E203"),
        ("calendars: {a: {timezone: Europe/Berln}}", "1:27 E203"),
        ("calendars: {a: {open: {mon: []}}}", "1:16 E202"),
        ("calendars: {a: {timezone: UTC, open: {mon-fry: []}}}", "1:39 E203"),
        ("calendars: {a: {timezone: UTC, open: {mon: 9-5}}}", "1:44 E203"),
        ('calendars: {a: {timezone: UTC, open: {mon: ["9 to 5"]}}}', "1:45 E203"),
        ('calendars: {a: {timezone: UTC, open: {mon: ["09:00-25:00"]}}}', "1:45 E203"),
        ("calendars: {a: {timezone: UTC, hours: {}}}", "1:32 E201"),
        ("calendars: {a: {timezone: UTC, exceptions: {24.12.: []}}}", "1:45 E203"),
        ("calendars: {a: {timezone: UTC, holidays: [{name: x}]}}", "1:43 E202"),
        ("calendars: {a: {timezone: UTC, holidays: [{date: soon}]}}", "1:50 E203"),
        ('calendars: {a: {timezone: UTC, holidays: [{rule: "FREQ=SECONDLY"}]}}', "1:51 E203"),
        ('calendars: {a: {timezone: UTC, holidays: [{rule: "FREQ=YEARLY;BYFOO=1"}]}}', "1:63 E203"),
        ("calendars: {a: {timezone: UTC, holidays: [{rule: [a]}]}}", "1:50 E203"),
        ("endpoints: {a: {base_uri: x}}", "1:16 E202"),
        ("endpoints: {a: {base_url: ftp://x}}", "1:27 E203"),
        ('endpoints: {a: {base_url: "https://u:p@x"}}', "1:27 E203"),
        ("endpoints: {a: {base_url: https://x, timeout: 5}}", "1:47 E203"),
        ("endpoints: {a: {base_url: https://x, headers: {K: {secrt: X}}}}", "1:51 E203"),
        ("endpoints: {a: {base_url: https://x, headers: {K: 5}}}", "1:51 E203"),
        ("destinations: {a: front desk}", "1:19 E203"),
        ("destinations: {j: 'pjsp:x'}", "1:19 E203"),
        ("destinations: {j: {target: 'tel:0800'}}", "1:28 E203"),
        ("destinations: {j: 'sip:a@b'}", "1:19 E203"),
        ("groups: {mixed: ['pjsip:a', nope]}", "1:29 E302"),
        ("groups: {g: [g]}", "1:14 E302"),
        ("groups: {h: ['group:h']}", "1:14 E203"),
        ("groups: {a: ['pjsip:a'], h: ['+14155550100', 'group:a']}", "1:46 E203"),
        ("groups: {h: ['tel:+1 415 555 0100', 'local:x']}", "1:37 E203"),
        ("prompts: {a: {}}", "1:14 E202"),
        ("prompts: {a: {file: nope.wav}}", "1:21 E306"),
        ("- a", "1:1 E203"),
    ],
)
def test_resources_are_checked(load: Load, resources: str, expected: str) -> None:
    loaded = load(files=FLOWS, resources=resources + "\n")
    assert [f"{problem.line}:{problem.column} {problem.code}" for problem in loaded.problems] == [expected]
    assert loaded.problems[0].file == "resources.yaml"


def test_a_name_in_two_files_is_told(load: Load) -> None:
    loaded = load(
        files={**FLOWS, "b/resources.yaml": "destinations: {a: pjsip:a}"}, resources="destinations: {a: pjsip:b}"
    )
    assert [problem.code for problem in loaded.problems] == ["E307"]


ROUTES = """
routes:
  - {match: {did: "+14155550100", calendar: {office: open}}, flow: day, fallback: "pjsip:desk"}
  - {match: {did: ["+14155550100", "+14155550101"]}, flow: night}
  - {match: {did: "+1415*", caller: "+49*"}, flow: day}
  - {match: {header: {x-plan: gold}, trunk: carrier-a}, flow: night}
  - {match: {attestation: B, direction: inbound}, flow: any}
"""
MONDAY = datetime(2026, 5, 4, 10, tzinfo=UTC)
SUNDAY = datetime(2026, 5, 3, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "now", "flow"),
    [
        ({"did": "+14155550100"}, MONDAY, "day"),
        ({"did": "+14155550100"}, SUNDAY, "night"),
        ({"did": "+14155550101"}, MONDAY, "night"),
        ({"did": "+14155550102", "caller": "+4930"}, MONDAY, "day"),
        ({"did": "+14155550102", "caller": "+4330"}, MONDAY, None),
        ({"did": "+14155550102"}, MONDAY, None),
        ({"headers": {"X-Plan": "gold"}, "trunk": "carrier-a"}, MONDAY, "night"),
        ({"headers": {"X-Plan": "gold"}}, MONDAY, None),
        ({"attestation": "B", "direction": "inbound"}, MONDAY, "any"),
        ({}, MONDAY, None),
    ],
)
def test_the_first_route_that_fits_wins(load: Load, facts: dict[str, Any], now: datetime, flow: str | None) -> None:
    library = load(files={**FLOWS, "routes.yaml": ROUTES}, resources=CALENDARS).library
    assert library is not None
    route = library.route(facts, now)
    assert (route.flow if route else None) == flow


def test_one_flow_without_routes_takes_every_call(load: Load) -> None:
    library = load("flow: only\nsteps: [{say: Hi}]\n").library
    assert library is not None
    route = library.route({"did": "+1"})
    assert route is not None
    assert route.flow == "only"


def test_several_flows_without_routes_take_none(load: Load) -> None:
    library = load(files=FLOWS).library
    assert library is not None
    assert library.route({"did": "+1"}) is None


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ("routes: {}", "1:1 E202"),
        ("routes: [any]", "1:10 E203"),
        ("routes: [{match: {}}]", "1:10 E202"),
        ("routes: [{flow: anny}]", "1:17 E302"),
        ("routes: [{match: {ddi: x}, flow: any}]", "1:19 E201"),
        ("routes: [{match: {did: 4155550100}, flow: any}]", "1:24 E203"),
        ('routes: [{match: {did: ["+1", "+1*5"]}, flow: any}]', "1:31 E203"),
        ("routes: [{match: {did: front desk}, flow: any}]", "1:24 E203"),
        ("routes: [{match: {calendar: {offce: open}}, flow: any}]", "1:30 E302"),
        ("routes: [{match: {calendar: {office: opne}}, flow: any}]", "1:38 E203"),
        ("routes: [{match: x, flow: any}]", "1:18 E203"),
        ("routes: [{flow: any, fallback: 'pjsp:x'}]", "1:32 E203"),
        ("routes: [{flow: any, fallback: front-des}]", "1:32 E302"),
        ("routes: [{flow: any, fallback: 'group:nobody'}]", "1:32 E302"),
        ("routes: [{flow: any, fallback: [a]}]", "1:32 E203"),
        ("routes: [{flow: any}, {match: {did: '+1'}, flow: day}]", "1:23 W402"),
        ("routes: [{match: {}, flow: any}, {flow: day}, {flow: day}]", "1:34 W402 1:47 W402"),
        ("routes: [{match: {ddi: x}, flow: any}, {flow: day}]", "1:19 E201"),
        ("routes: [{match: {attestation: Z, direction: inboundd}, flow: any}]", "1:32 E203 1:46 E203"),
        ("routes: [{match: {attestation: [A, D], did: x}, flow: anny}]", "1:36 E203 1:45 E203 1:55 E302"),
        ("routes: [{match: {attestation: Z}}]", "1:10 E202 1:32 E203"),
        ("routes: [{match: x}]", "1:10 E202 1:18 E203"),
        ("routes: [{match: {attestation: [A, b*, ''], direction: 'in*'}, flow: any}]", "1:36 E203"),
        ("routes: [{match: {header: {direction: up, did: desk}}, flow: any}]", ""),
    ],
)
def test_routes_are_checked(load: Load, routes: str, expected: str) -> None:
    loaded = load(files={**FLOWS, "routes.yaml": routes + "\n"}, resources=CALENDARS)
    assert " ".join(f"{problem.line}:{problem.column} {problem.code}" for problem in loaded.problems) == expected


def test_what_is_near_a_wrong_name_is_told(load: Load) -> None:
    resources = "destinations: {front-desk: 'pjsip:a'}\ngroups: {all: [front-dsk, front-desk], g: [all]}\n"
    routes = "routes: [{flow: any, fallback: front-des}, {flow: day, fallback: all}]\n"
    told = [one.message for one in load(files={**FLOWS, "routes.yaml": routes}, resources=resources).problems]
    assert "unknown destination 'front-dsk' (did you mean 'front-desk'?)" in told
    assert "unknown destination 'front-des' (did you mean 'front-desk'?)" in told
    assert "unknown destination 'all': a group holds no groups" in told
    assert "unknown destination 'all': it is a group, write group:all" in told


@pytest.mark.parametrize("fallback", ["pjsip:desk", "+14155550100", "front", "group:all", "teams:ann@acme.example"])
def test_who_may_be_a_fallback(load: Load, fallback: str) -> None:
    resources = "destinations: {front: 'pjsip:a'}\ngroups: {all: [front, 'tel:+14155550100']}\n"
    routes = f"routes: [{{flow: any, fallback: '{fallback}'}}]\n"
    assert load(files={**FLOWS, "routes.yaml": routes}, resources=resources).problems == []


def test_who_is_told_of_a_message_may_be_written_as_a_target(load: Load) -> None:
    resources = "mailboxes: {sales: {notify: ['tel:+14155550100', '+14155550101']}}\n"
    assert load(files={**FLOWS, "routes.yaml": "routes: [{flow: any}]"}, resources=resources).problems == []
