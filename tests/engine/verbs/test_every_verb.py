"""Every installed verb stands in an example of the documentation, and every way in which it can end, its failure
included, is reached on the virtual line: a verb, or an outcome, that has no row in the table below fails a test here.
That every one runs in a call on a real Asterisk is held by tests/calls/test_calls_every_verb.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.extraction import MISSING, found
from engine.http import Http, HttpFailedError
from engine.line import LineError
from engine.verb import Verb, installed
from engine.virtual import VirtualLine, VirtualProvider, virtual_time
from engine.virtual.media import VirtualMedia
from engine.virtual.voice import Calls, Says
from providers.voice import VoiceError
from tests.engine.verbs.phone import Endpoints, Script, dial, flow, library
from tests.engine.verbs.test_verb_menu import keys
from tests.engine.verbs.test_verb_play import wav
from tests.engine.verbs.test_verb_play_endpoint import Shelf
from tests.engine.writer import Writer, texts

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs/flow-language.md"

LONG = "This is a sentence that takes some time to be spoken."
GONE = HttpFailedError("pos answered 500 to GET", status=500)
BROKEN = VoiceError("it is gone", code="gone")
LATE = HttpFailedError("pos took too long", kind="timeout")
EXTRACT = "extract: {from: mail, into: note, schema: {a: {type: string}}}"
SOUNDS: dict[str, Any] = {"done": wav(), "http_error": GONE, "timeout": LATE}
HEAD = """
vars: {note: {type: object, default: {}}, mail: {type: string, default: Two pizzas.}, zero: {type: integer, default: 0}}
defaults: {text_model: writer}
sections: {bye: [{hangup: {}}], back: [{set: {}}]}
"""


@dataclass(frozen=True)
class Way:
    """One way in which a step of a verb ends: the step, and what happens meanwhile."""

    verb: str
    outcome: str
    step: str
    script: Script | None = None
    head: str = HEAD
    replies: tuple[Any, ...] = ()
    http: Http | None = None
    written: tuple[Any, ...] = ()
    target: object = None
    provider: VirtualProvider | None = None
    line: type[VirtualLine] = VirtualLine
    files: Mapping[str, str] = field(default_factory=dict)
    first: str = ""  # a step before it

    def __str__(self) -> str:
        return f"{self.verb}-{self.outcome}"


class DeafLine(VirtualLine):
    """A telephone system that neither rings nor gives audio."""

    async def ring(self) -> None:
        raise LineError("ringing: HTTP 500")

    async def open_media(self) -> VirtualMedia:
        raise LineError("audio could not be connected")


def fails(verb: str, step: str, **more: Any) -> Way:
    """A step of this verb that cannot do its work."""
    return Way(verb, "error", step, **more)


def says(text: str, seconds: float = 1.0, after: float = 3.0) -> Script:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(after)
        await line.caller.says(text, seconds)

    return script


def murmurs(after: float = 3.0) -> Script:
    """Speech in which there is no word."""
    return says("", 1.0, after)


def calendar(span: str, more: str = "") -> dict[str, str]:
    return {"resources.yaml": f"calendars: {{office: {{timezone: Europe/Berlin, open: {span}{more}}}}}\n"}


def transfers(outcome: str, target: object, fields: str = "") -> Way:
    step = f'transfer: {{attempts: [{{targets: ["pjsip:a"], timeout: 20s{fields}}}], after_callee_hangup: continue}}'
    return Way("transfer", outcome, step, target=target)


def talks(outcome: str, fields: str, *replies: Any, script: Script | None = None, **more: Any) -> Way:
    return Way("converse", outcome, f"converse: {{greeting: Hello., {fields}}}", script, replies=replies, **more)


def rings() -> Iterator[Way]:
    yield transfers("connected", {"answer": 3, "hangs_up_after": 9})
    for outcome in ("no_answer", "busy", "declined", "unavailable", "failed"):
        yield transfers(outcome, outcome)
    yield transfers(
        "machine",
        {"answer": 2, "says": "You have reached the mailbox of Miller and Sons. Leave a message."},
        ", machine: reject",
    )
    yield Way("transfer", "timeout", 'transfer: {timeout: 5s, attempts: [{targets: ["pjsip:a"]}]}', target="no_answer")


NAUGHT = "1 / vars.zero"  # an expression that cannot be worked out
FAILURES = [
    fails("answer", "answer: {}", line=DeafLine),
    fails("call", "call: {section: back}", head="sections: {back: [{reject: 486}]}", first="- answer: {}\n"),
    fails("detect_machine", "detect_machine: {}", line=DeafLine),
    fails("gather", "gather: {say: The number?, digits: 2}", line=DeafLine),
    fails("goto", "goto: bye", head="sections: {bye: [{goto: bye, catch: [{hangup: {}}]}]}"),
    fails("hangup", f'hangup: {{result: "${{{NAUGHT}}}"}}'),
    fails("menu", f'menu: {{say: "${{{NAUGHT}}}"}}'),
    fails("play", "play: {prompt: welcome}", line=DeafLine),
    fails("record", "record: start", line=DeafLine),
    fails("reject", "reject: 486", first="- answer: {}\n"),
    fails("repeat", f"repeat: {{max: 2, while: {NAUGHT} > 0, steps: [{{set: {{}}}}]}}"),
    fails("return", f'return: {{a: "${{{NAUGHT}}}"}}'),
    fails("ringing", "ringing: {}", line=DeafLine),
    fails("say", f'say: "${{{NAUGHT}}}"'),
    fails("send_dtmf", 'send_dtmf: "${vars.mail}"'),
    fails("set", f'set: {{zero: "${{{NAUGHT}}}"}}'),
    fails("split", f"split: {{weights: {{left: 1, right: 1}}, sticky_by: {NAUGHT} > 0}}"),
    fails("switch", f"switch: [{{when: {NAUGHT} > 0, steps: [{{set: {{}}}}]}}]"),
    fails("voicemail", "voicemail: {box: a}", line=DeafLine),
    fails("wait", "wait: 5s\n  timeout: 1s"),
    fails("wait_for", "wait_for: speech", line=DeafLine),
    # What nobody waits for has no outcomes but `done`, and may still be impossible to begin.
    fails("http", f'http: {{endpoint: pos, path: "/${{{NAUGHT}}}", wait: false}}'),
    fails("event", f'event: {{endpoint: pos, name: it, json: {{a: "${{{NAUGHT}}}"}}, wait: false}}'),
    fails("sms", 'sms: {endpoint: pos, path: /a, to: "${vars.mail}", text: Hi., wait: false}'),
]

WAYS = [
    *FAILURES,
    Way("answer", "done", "answer: 1s"),
    Way("call", "done", "call: {section: back}"),
    Way("check_hours", "open", "check_hours: office", files=calendar('{mon-sun: ["00:00-24:00"]}')),
    Way("check_hours", "closed", "check_hours: office", files=calendar("{}")),
    Way("check_hours", "holiday", "check_hours: office",
        files=calendar('{mon-sun: ["00:00-24:00"]}', ", holidays: [{rule: FREQ=DAILY, name: Always}]")),
    talks("finished", "exits: {finished: {}}", [Says("Bye."), Calls("finish", {"exit": "finished"})],
          script=says("That is all.")),
    talks("silence", "silence: {after: 2s, reprompts: 0}"),
    talks("max_duration", "max_duration: 3s"),
    talks("provider_error", "connect_within: 1s", provider=VirtualProvider(connects_after=BROKEN)),
    Way("detect_machine", "human", "detect_machine: {}", says("Hello?", 0.5, 0.5)),
    Way("detect_machine", "machine", "detect_machine: {}", says("You have reached the office of Miller.", 6.0, 0.5)),
    Way("detect_machine", "unknown", "detect_machine: {}"),
    Way("extract", "done", EXTRACT, written=(found({"a": "b"}),)),
    Way("extract", "not_found", EXTRACT, written=(MISSING,)),
    Way("extract", "provider_error", EXTRACT,
        written=(BROKEN,)),
    Way("gather", "done", "gather: {say: The number?, digits: 2}", keys((3, "12"))),
    Way("gather", "no_input", "gather: {say: The number?, retries: 0}"),
    Way("gather", "no_match", "gather: {say: The number?, least: 3, retries: 0}", keys((3, "1#"))),
    Way("gather", "done", "gather: {say: Who?, input: speech}", says("Sales")),
    Way("gather", "no_input", "gather: {say: Who?, input: speech, retries: 0}"),
    Way("gather", "no_match", "gather: {say: Who?, input: speech, retries: 0}", murmurs()),
    Way("gather", "provider_error", "gather: {say: Who?, input: speech}",
        provider=VirtualProvider(connects_after=BROKEN)),
    Way("goto", "done", "goto: bye"),
    Way("hangup", "done", "hangup: {}"),
    Way("menu", "no_input", "menu: {say: Press a key., retries: 0}"),
    Way("menu", "no_match", "menu: {say: Press a key., retries: 0}", keys((3, "9"))),
    *(Way("menu", key, "menu: {say: Press a key.}", keys((3, key))) for key in "0123456789*#"),
    Way("play", "done", "play: {prompt: welcome}"),
    Way("play", "interrupted", "play: {prompt: welcome, loop: 9, interruptible: dtmf}", keys((3, "1"))),
    *(Way("play", outcome, "play: {endpoint: pos, path: /a}", http=Shelf(answer))
      for outcome, answer in SOUNDS.items()),
    Way("record", "done", "record: start"),
    Way("reject", "done", "reject: 486"),
    Way("repeat", "done", "repeat: {max: 2, steps: [{set: {}}]}"),
    Way("return", "done", "return: {}"),
    Way("ringing", "done", "ringing: {}"),
    Way("say", "done", "say: Hello."),
    Way("say", "interrupted", f"say: {{text: {LONG}, interruptible: dtmf}}", keys((1, "1"))),
    Way("send_dtmf", "done", 'send_dtmf: "12#"'),
    Way("set", "done", 'set: {note: {}}'),
    Way("split", "left", "split: {weights: {left: 1, right: 0}}"),
    Way("split", "right", "split: {weights: {left: 0, right: 1}}"),
    Way("stop", "done", "stop: {}"),
    Way("switch", "done", "switch: [{steps: [{set: {}}]}]"),
    *rings(),
    Way("voicemail", "done", "voicemail: {box: a}", says("A message.", 2.0, 1.0)),
    Way("voicemail", "empty", "voicemail: {box: a}"),
    Way("wait", "done", "wait: 1s"),
    Way("wait_for", "done", "wait_for: dtmf", keys((1, "1")), first="- answer: {}\n"),
    Way("wait_for", "timeout", "wait_for: dtmf"),
    *(Way(verb, outcome, step, http=Endpoints({"/a": answer}))
      for verb, step in {
          "http": "http: {endpoint: pos, path: /a}",
          "event": "event: {endpoint: pos, name: it, path: /a}",
          "sms": 'sms: {endpoint: pos, path: /a, to: "+14155550111", text: Hi.}',
      }.items()
      for outcome, answer in {"done": {}, "http_error": GONE, "timeout": LATE}.items()),
]  # fmt: skip


def text_of(way: Way) -> str:
    handled = "" if way.outcome in ("done", "error") else f'\n  outcomes: {{"{way.outcome}": []}}'
    return flow(f"{way.first}- id: it\n  {way.step}{handled}\n  catch: []", head=way.head)


@pytest.mark.parametrize("way", WAYS, ids=str)
@virtual_time
async def test_it_ends_this_way(tmp_path: Path, way: Way) -> None:
    house, targets = library(tmp_path, text_of(way), files=way.files), {"pjsip:a": way.target or "busy"}
    more: dict[str, Any] = {"storage": tmp_path / "kept"}
    if way.provider is not None:
        more["provider"] = way.provider
    if way.written:
        more["texts"] = texts(Writer(*way.written))
    line = way.line(targets=targets)
    over = await dial(house, way.script, *way.replies, line=line, http=way.http or Endpoints({}), **more)
    assert (way.verb, way.outcome) in over.ways


def test_no_way_in_which_an_installed_verb_can_end_is_left_out(tmp_path: Path) -> None:
    verbs = installed()
    possible = {(name, "done") for name, verb in verbs.items() if verb.ends_done}
    possible |= {(name, "error") for name, verb in verbs.items() if may_fail(verb)}
    for number, way in enumerate(WAYS):
        house = library(tmp_path / str(number), text_of(way), files=way.files)
        step = next(step for step in house.flows["test"].steps if step.id == "it")
        assert step.verb.name == way.verb
        possible |= {(way.verb, outcome) for outcome in step.possible.names}
        if way.outcome != "error" and verbs[way.verb].failure not in (None, "error"):
            assert verbs[way.verb].failure in step.possible.names, "its failure has a name of its own"
    reached = {(way.verb, way.outcome) for way in WAYS}
    assert set(verbs) - {verb for verb, _ in reached} == set()
    assert sorted(possible ^ reached) == []


def may_fail(verb: Verb) -> bool:
    """Whether a step of it can end with `error`: not when nothing in it can go wrong, nor when what does is an outcome
    of its own at every step of it."""
    return verb.failure == "error" or (verb.failure is not None and "wait" in verb.Fields.model_fields)


def test_what_a_verb_says_cannot_fail_has_nothing_in_it_that_could() -> None:
    """No expression, no line, no wait: what is left is a name that the check has seen."""
    unfailing = {name: verb for name, verb in installed().items() if verb.failure is None}
    assert sorted(unfailing) == ["check_hours", "stop"]
    kinds = {str(info.annotation) for verb in unfailing.values() for info in verb.Fields.model_fields.values()}
    assert kinds == {"<class 'str'>"}


def test_every_installed_verb_stands_in_an_example_of_the_documentation(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    resources = next(block for block in blocks if block.startswith("calendars:"))
    examples = [block for block in blocks if block.startswith("flow:")]
    house = library(tmp_path, *examples, files={"resources.yaml": resources})
    shown = {step.verb.name for example in house.flows.values() for step in example.walk()}
    assert sorted(set(installed()) - shown) == []


@virtual_time
async def test_the_example_of_deciding_does_what_the_documentation_says(tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(flow: examples/deciding\n.*?)```", DOCS.read_text(), re.DOTALL)
    ask = "Please enter your customer number."
    for times, entered, said in ((1, "123456", "Welcome back."), (3, "111111", "We do not know you yet.")):
        house = library(tmp_path / str(times), example)
        over = await dial(house, keys(*[(4.0, entered)] * times), name="examples/deciding")
        assert over.heard == ["Hello.", *[ask] * times, said]
