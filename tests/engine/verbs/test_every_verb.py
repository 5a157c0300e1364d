"""Every installed verb stands in an example of the documentation and in a call on a real Asterisk (tests/calls), and
every way in which it can end is reached on the virtual line: a verb, or an outcome, that has no row in the table below
fails a test here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.extraction import MISSING, found
from engine.http import Http, HttpFailedError
from engine.verb import installed
from engine.virtual import VirtualLine, VirtualProvider, virtual_time
from engine.virtual.voice import Calls, Says
from providers.voice import VoiceError
from tests.engine.verbs.phone import Endpoints, Script, dial, flow, library
from tests.engine.verbs.test_verb_menu import keys
from tests.engine.verbs.test_verb_play import wav
from tests.engine.verbs.test_verb_play_endpoint import Shelf
from tests.engine.writer import Writer, texts

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs/flow-language.md"

# Verbs whose every end has a name of its own. What leads elsewhere (`goto`, `hangup`, …) ends with `done`.
NEVER_DONE = {"menu", "check_hours", "converse", "detect_machine", "split", "transfer"}

LONG = "This is a sentence that takes some time to be spoken."
GONE = HttpFailedError("pos answered 500 to GET", status=500)
BROKEN = VoiceError("it is gone", code="gone")
LATE = HttpFailedError("pos took too long", kind="timeout")
EXTRACT = "extract: {from: mail, into: note, schema: {a: {type: string}}}"
SOUNDS: dict[str, Any] = {"done": wav(), "http_error": GONE, "timeout": LATE}
HEAD = """
vars: {note: {type: object, default: {}}, mail: {type: string, default: Two pizzas.}}
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
    files: Mapping[str, str] = field(default_factory=dict)
    first: str = ""  # a step before it

    def __str__(self) -> str:
        return f"{self.verb}-{self.outcome}"


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


WAYS = [
    Way("answer", "done", "answer: 1s"),
    Way("call", "done", "call: {section: back}"),
    Way("call", "error", "call: {section: back}", head="sections: {back: [{reject: 486}]}", first="- answer: {}\n"),
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
    more: dict[str, Any] = {} if way.provider is None else {"provider": way.provider}
    if way.written:
        more["texts"] = texts(Writer(*way.written))
    over = await dial(house, way.script, *way.replies, targets=targets, http=way.http or Endpoints({}), **more)
    assert (way.verb, way.outcome) in over.ways


def test_no_way_in_which_an_installed_verb_can_end_is_left_out(tmp_path: Path) -> None:
    possible = {(name, "done") for name in installed() if name not in NEVER_DONE}
    for number, way in enumerate(WAYS):
        house = library(tmp_path / str(number), text_of(way), files=way.files)
        step = next(step for step in house.flows["test"].steps if step.id == "it")
        assert step.verb.name == way.verb
        possible |= {(way.verb, outcome) for outcome in step.possible.names}
    reached = {(way.verb, way.outcome) for way in WAYS}
    assert {name for name in installed() if name not in {verb for verb, _ in reached}} == set()
    assert sorted(possible - reached) == []


def test_every_installed_verb_stands_in_an_example_of_the_documentation(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    resources = next(block for block in blocks if block.startswith("calendars:"))
    examples = [block for block in blocks if block.startswith("flow:")]
    house = library(tmp_path, *examples, files={"resources.yaml": resources})
    shown = {step.verb.name for example in house.flows.values() for step in example.walk()}
    assert sorted(set(installed()) - shown) == []


def test_every_installed_verb_stands_in_a_flow_of_a_call_on_a_real_asterisk() -> None:
    flows = "\n".join(file.read_text() for file in (ROOT / "tests/calls").glob("test_*.py"))
    assert [verb for verb in installed() if not re.search(rf"(?<![\w.]){verb}:[ \n]", flows)] == []


@virtual_time
async def test_the_example_of_deciding_does_what_the_documentation_says(tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(flow: examples/deciding\n.*?)```", DOCS.read_text(), re.DOTALL)
    ask = "Please enter your customer number."
    for times, entered, said in ((1, "123456", "Welcome back."), (3, "111111", "We do not know you yet.")):
        house = library(tmp_path / str(times), example)
        over = await dial(house, keys(*[(4.0, entered)] * times), name="examples/deciding")
        assert over.heard == ["Hello.", *[ask] * times, said]
