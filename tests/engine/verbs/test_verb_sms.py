from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.http import HttpFailedError, Reply
from engine.virtual import virtual_time
from flows.resources import Endpoint
from tests.engine.verbs.phone import RESOURCES, Endpoints, dial, flow, library, load, problems

GATEWAY = {
    "resources.yaml": RESOURCES.replace("destinations:", 'destinations:\n  nurse: "tel:+14155550111"').replace(
        "endpoints:", 'endpoints:\n  sms: {base_url: "https://sms.example/send"}'
    )
}
STEPS = """
- id: note
  sms: {to: ["+14155550177", nurse, "${caller.number}"], text: "Call ${caller.number} back."}
  outcomes: {http_error: [{say: Not sent.}], timeout: [{say: Too slow.}]}
- hangup: {result: "${string(steps.note.sent)} ${steps.note.unsent}"}
"""


@virtual_time
async def test_every_recipient_gets_the_text(tmp_path: Path) -> None:
    gateway = Endpoints({"": (2.0, {"sid": 1})})
    over = await dial(library(tmp_path, flow(STEPS), files=GATEWAY), http=gateway)
    assert [(asked["endpoint"], asked["method"], asked["path"]) for asked in gateway.asked] == [("sms", "POST", "")] * 3
    bodies = [asked["json"] for asked in gateway.asked]
    assert [body["to"] for body in bodies] == ["+14155550177", "+14155550111", "+14155550199"]
    assert {body["text"] for body in bodies} == {"Call +14155550199 back."}
    assert {(body["call"], body["flow"]) for body in bodies} == {("call-1", "test")}
    assert [asked["idempotency_key"] for asked in gateway.asked] == [body["id"] for body in bodies]
    assert len({body["id"] for body in bodies}) == 3
    assert over.record.steps[0].ms == 2000, "all at once"
    assert over.record.result == "3 []"


class Choosy(Endpoints):
    """A gateway that refuses some numbers."""

    def __init__(self, refused: dict[str, Exception]) -> None:
        super().__init__({"": None})
        self.refused = refused

    async def request(self, endpoint: Endpoint, method: str, path: str, **more: Any) -> Reply:
        reply = await super().request(endpoint, method, path, **more)
        if more["json"]["to"] in self.refused:
            raise self.refused[more["json"]["to"]]
        return reply


@pytest.mark.parametrize(("kind", "heard"), [("http_error", "Not sent."), ("timeout", "Too slow.")])
@virtual_time
async def test_a_message_that_was_not_taken_is_told(tmp_path: Path, kind: str, heard: str) -> None:
    gateway = Choosy({"+14155550111": HttpFailedError("sms is away", kind=kind)})
    over = await dial(library(tmp_path, flow(STEPS), files=GATEWAY), http=gateway)
    assert over.heard == [heard]
    assert over.ways[0] == ("sms", kind)
    assert over.record.steps[0].detail == "1 of 3 not taken: sms is away"
    assert over.record.result == '2 ["+14155550111"]'


@virtual_time
async def test_different_failures_are_an_http_error(tmp_path: Path) -> None:
    gateway = Choosy({"+14155550111": HttpFailedError("a", kind="timeout"), "+14155550177": HttpFailedError("b")})
    over = await dial(library(tmp_path, flow(STEPS), files=GATEWAY), http=gateway)
    assert over.ways[0] == ("sms", "http_error")


@virtual_time
async def test_a_retry_is_the_same_message(tmp_path: Path) -> None:
    gateway = Endpoints({"": [HttpFailedError("away"), None]})
    steps = """
    - {sms: {to: "+14155550177", text: Hi}, retry: {max: 1}, catch: []}
    - {sms: {to: nurse, text: Hi}, catch: []}
    """
    over = await dial(library(tmp_path, flow(steps), files=GATEWAY), http=gateway)
    assert over.ways == [("sms", "http_error"), ("sms", "done"), ("sms", "done")]
    first, second, third = [asked["json"]["id"] for asked in gateway.asked]
    assert first == second != third


@pytest.mark.parametrize(
    ("to", "text", "says"),
    [
        ("front-desk", "Hi", "'front-desk' is neither a number"),
        ("nobody", "Hi", "'nobody' is neither a number"),
        ("+14155550177", "", "1 to 1600 characters, and this one has 0"),
        ("+14155550177", "x" * 1601, "and this one has 1601"),
    ],
)
@virtual_time
async def test_what_cannot_be_sent_is_not(tmp_path: Path, to: str, text: str, says: str) -> None:
    gateway = Endpoints({"": None})
    head = f'vars: {{to: {{type: string, default: "{to}"}}, text: {{type: string, default: "{text}"}}}}'
    steps = '- sms: {to: "${vars.to}", text: "${vars.text}"}\n  catch: []'
    over = await dial(library(tmp_path, flow(steps, head=head), files=GATEWAY), http=gateway)
    assert over.ways == [("sms", "http_error")]
    assert says in over.record.steps[0].detail
    assert gateway.asked == []


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - sms: {to: "+14155550177", text: Hi}
          catch: []
        - sms: {to: [front-desk, fornt-desk], text: "Card ${vars.card}", endpoint: pos}
          catch: []
        - sms: {to: [], text: Hi, endpoint: pos}
        - sms: {to: 14155550177, text: Hi, endpoint: pos}
        - sms: {text: Hi, endpoint: pos}
        """,
        head="vars: {card: {type: string, sensitive: true}}",
    )
    assert [line.split(";")[0] for line in found if "error[" in line] == [
        "4:5: error[E302]: there is no endpoint 'sms'",
        "6:16: error[E203]: the destination 'front-desk' is no telephone number: its target must begin with tel:",
        "6:28: error[E302]: unknown destination 'fornt-desk' (did you mean 'front-desk'?)",
        "6:55: error[E203]: 'vars.card' is sensitive and must not leave by SMS",
        "8:15: error[E203]: 'to' needs at least 1",
        "9:15: error[E203]: 14155550177 must be a text",
        "10:5: error[E202]: sms needs 'to'",
    ]


GROUPED = {
    "resources.yaml": GATEWAY["resources.yaml"]
    + "groups:\n  oncall: [nurse, '+14155550188', 'tel:+1 415 555-0199']\n  mixed: ['pjsip:a']\n"
}


@virtual_time
async def test_a_group_stands_for_its_members(tmp_path: Path) -> None:
    gateway = Endpoints({"": None})
    steps = '- sms: {to: ["group:oncall", nurse], text: Urgent.}\n  outcomes: {http_error: [], timeout: []}'
    await dial(library(tmp_path, flow(steps), files=GROUPED), http=gateway)
    assert [asked["json"]["to"] for asked in gateway.asked] == ["+14155550111", "+14155550188", "+14155550199"]


@virtual_time
async def test_a_number_may_be_written_as_a_target(tmp_path: Path) -> None:
    gateway = Endpoints({"": None})
    to = '["tel:+14155550188", "+14155550188", "tel:${vars.to}"]'
    steps = f"- sms: {{to: {to}, text: Urgent.}}\n  outcomes: {{http_error: [], timeout: []}}"
    text = flow(steps, head="vars: {to: {type: string, default: '+1 415 555 0177'}}")
    await dial(library(tmp_path, text, files=GATEWAY), http=gateway)
    assert [asked["json"]["to"] for asked in gateway.asked] == ["+14155550188", "+14155550177"]


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("tel:0800", "'tel:0800' is no telephone number: write it as"), ("pjsip:a", "'pjsip:a' is no telephone number"),
        ("group:mixed", "'pjsip:a' of the group 'mixed' is no telephone number"),
    ],
)  # fmt: skip
def test_who_gets_no_text_message(tmp_path: Path, to: str, words: str) -> None:
    steps = f'- sms: {{to: "{to}", text: Urgent.}}\n  outcomes: {{http_error: [], timeout: []}}'
    (found,) = [str(one) for one in load(tmp_path, flow(steps), files=GROUPED).problems]
    assert words in found


QUICK = "- id: note\n  sms: {to: nurse, text: Urgent., wait: false}\n- say: On we go.\n- hangup: {}"


@virtual_time
async def test_who_does_not_wait_goes_on_at_once_and_the_record_tells_a_failure(tmp_path: Path) -> None:
    gateway = Choosy({"+14155550111": HttpFailedError("sms is away", kind="http_error")})
    gateway.answers[""] = [(3.0, None)]
    over = await dial(library(tmp_path, flow(QUICK), files=GATEWAY), http=gateway)
    assert over.record.steps[0].ms == 0
    assert over.heard == ["On we go."]
    assert over.record.steps[0].outcome == "done"
    assert over.record.steps[0].detail == "http_error: 1 of 1 not taken: sms is away"


@virtual_time
async def test_an_errand_that_breaks_is_told(tmp_path: Path) -> None:
    gateway = Choosy({"+14155550111": ZeroDivisionError("a mistake")})
    over = await dial(library(tmp_path, flow(QUICK), files=GATEWAY), http=gateway)
    assert "error: " in over.record.steps[0].detail
    assert "given up" not in over.record.steps[0].detail


@virtual_time
async def test_what_is_not_waited_for_ends_in_bounded_time(tmp_path: Path) -> None:
    gateway = Endpoints({"": (1000.0, None)})
    over = await dial(library(tmp_path, flow(QUICK), files=GATEWAY), http=gateway)
    assert over.record.steps[0].detail == "given up when the call was over"


def test_who_does_not_wait_has_no_outcomes(tmp_path: Path) -> None:
    loaded = "- sms: {to: '+14155550100', text: x, endpoint: pos, wait: false}"
    assert problems(tmp_path, loaded) == []
    assert "E303" in problems(tmp_path, loaded + "\n  outcomes: {http_error: []}")[0]
