"""Every field of every verb and tool that can hold an expression, and whether a sensitive value may stand in it.

A field that is new must be placed here: the first test finds all of them.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel

from engine.verb import installed
from flows.files import TextFile
from flows.texts import Expression, Text, Value
from tests.engine.verbs.phone import flow, load

URL, HEADER, SIP, RECORD, SMS, EVENT = (
    "in a URL", "in a header", "with a transfer", "into the record", "by SMS", "with an event",
)  # fmt: skip
SPOKEN = "spoken to who is on the line"
MODEL = "for the model that talks with the caller"
FOLLOWED = "what it is given to counts as sensitive, too"
INSIDE = "decides how the flow goes on; nothing is sent or written"
BODY = "the body of a request is for the endpoint alone, and is never written down"
KEYS = "keys are sent on the line, and written down nowhere"

REFUSED: Final = {
    "event name": (EVENT, 'event: {endpoint: pos, name: "V"}'),
    "event json": (EVENT, 'event: {endpoint: pos, name: a, json: {a: ["V"]}}'),
    "event path": (EVENT, 'event: {endpoint: pos, name: a, path: "/V"}'),
    "hangup result": (RECORD, 'hangup: {result: "V"}'),
    "http path": (URL, 'http: {endpoint: pos, path: "/V"}'),
    "http headers[]": (HEADER, 'http: {endpoint: pos, path: /x, headers: {X-Card: "V"}}'),
    "http idempotency_key": (HEADER, 'http: {endpoint: pos, path: /x, idempotency_key: "V"}'),
    "play path": (URL, 'play: {endpoint: pos, path: "/V"}'),
    "reject reason": (RECORD, 'reject: {reason: "V"}'),
    "sms to[]": (SMS, 'sms: {endpoint: pos, to: ["V"], text: Hi}'),
    "sms text": (SMS, 'sms: {endpoint: pos, to: "+14155550100", text: "V"}'),
    "sms path": (SMS, 'sms: {endpoint: pos, to: "+14155550100", text: Hi, path: "/V"}'),
    "transfer attempts[]targets[]": (SIP, 'transfer: {attempts: [{targets: ["tel:V"]}]}'),
    "transfer headers[]": (SIP, 'transfer: {headers: {X-Pin: "V"}, attempts: [{targets: ["pjsip:a"]}]}'),
    "transfer caller_id": (SIP, 'transfer: {caller_id: "V", attempts: [{targets: ["pjsip:a"]}]}'),
    "voicemail notify[]": (SMS, 'voicemail: {box: sales, notify: ["V"]}'),
    "wait_for play.path": (URL, 'wait_for: {event: webhook, name: a, play: {endpoint: pos, path: "/V"}}'),
    "converse tools[]while_running.play.path": (URL, 'while_running: {play: {endpoint: pos, path: "/V"}}, set: {k: a}'),
    "converse tools[]http.path": (URL, 'http: {endpoint: pos, path: "/V"}'),
    "converse tools[]hangup.result": (RECORD, 'hangup: {result: "V"}'),
    "converse tools[]transfer.attempts[]targets[]": (SIP, 'transfer: {attempts: [{targets: ["tel:V"]}]}'),
    "converse tools[]transfer.headers[]": (SIP, 'transfer: {headers: {X-P: "V"}, attempts: [{targets: ["pjsip:a"]}]}'),
    "converse tools[]transfer.caller_id": (SIP, 'transfer: {caller_id: "V", attempts: [{targets: ["pjsip:a"]}]}'),
}
ALLOWED: Final = {
    "call input[]": FOLLOWED,
    "converse bridge": SPOKEN,
    "converse greeting": SPOKEN,
    "converse prompt": MODEL,
    "converse prompt_file": MODEL,
    "converse silence.say": SPOKEN,
    "converse tools[]confirm": MODEL,
    "converse tools[]flow.input[]": FOLLOWED,
    "converse tools[]http.json": BODY,
    "converse tools[]send_dtmf.digits": KEYS,
    "converse tools[]set.*": FOLLOWED,
    "converse tools[]transfer.accept.say": SPOKEN,
    "converse tools[]transfer.attempts[]accept.say": SPOKEN,
    "converse tools[]transfer.brief.text": SPOKEN,
    "converse tools[]transfer.dtmf_after_answer": KEYS,
    "converse tools[]transfer.unreached": SPOKEN,
    "converse tools[]when": INSIDE,
    "converse tools[]while_running.say": SPOKEN,
    "extract prompt": MODEL,
    "gather hints[]": "words for the recogniser, which hears the caller say them",
    "gather say": SPOKEN,
    "http json": BODY,
    "menu say": SPOKEN,
    "record announce": SPOKEN,
    "repeat while": INSIDE,
    "return *": FOLLOWED,
    "say text": SPOKEN,
    "send_dtmf digits": KEYS,
    "set *": FOLLOWED,
    "split sticky_by": INSIDE,
    "switch branches[]when": INSIDE,
    "switch value": INSIDE,
    "transfer accept.say": SPOKEN,
    "transfer attempts[]accept.say": SPOKEN,
    "transfer brief.text": SPOKEN,
    "transfer dtmf_after_answer": KEYS,
}


def places(kind: Any) -> Iterator[str]:
    """The ways to expressions in a type."""
    if isinstance(kind, type) and issubclass(kind, Text | Value | Expression | TextFile):
        yield ""
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from (f".{name}" for name in fields(kind))
    else:
        each = "[]" if typing.get_origin(kind) in (dict, tuple, list) else ""
        for inner in typing.get_args(kind):
            yield from (each + place.removeprefix("." if each else "") for place in places(inner))


def fields(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield from (f"{field.alias or name}{place}" for place in places(field.annotation))
    if model.model_config.get("extra") == "allow":
        yield "*"


def test_every_field_with_expressions_has_its_place() -> None:
    found = {f"{name} {place}" for name, verb in installed().items() for place in fields(verb.Fields)}
    assert found == {*REFUSED, *ALLOWED}
    assert not {*REFUSED} & {*ALLOWED}


HEAD = "vars: {pin: {type: string, sensitive: true}, shown: {type: string}, k: {type: string}}"


@pytest.mark.parametrize("place", REFUSED)
def test_a_sensitive_value_is_refused_where_it_would_leave(tmp_path: Path, place: str) -> None:
    way, step = REFUSED[place]
    if place.startswith("converse tools[]"):
        step = f"converse: {{tools: {{bye: {{description: x, {step}}}}}}}"
    written = f"- {step}\n  catch: []"
    resources = {
        "resources.yaml": 'endpoints: {pos: {base_url: "https://a.example"}, sms: {base_url: "https://b.c"}}\n'
    }
    told = [
        str(one)
        for one in load(tmp_path, flow(written.replace("V", "${vars.pin}"), head=HEAD), files=resources).problems
    ]
    assert [line for line in told if f"'vars.pin' is sensitive and must not leave {way}" in line], told
    shown = load(tmp_path, flow(written.replace("V", "${vars.shown}"), head=HEAD), files=resources).problems
    assert [str(one) for one in shown if one.severity == "error"] == []
