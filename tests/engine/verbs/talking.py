"""Conversations on the virtual line: one `converse` step, a caller's script, and voices that do what a test says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.virtual import Calls, VirtualLine, VirtualProvider, VirtualVoice
from providers.voice import Audio, Session, VoiceEvent
from tests.engine.verbs.phone import Over, Script, dial, flow, library

LONG = "We have a great many dishes, and all of them are good."  # 3.24 s


def converse(fields: str = "", *, after: str = "", head: str = "") -> str:
    """A flow of one `converse` step with an exit, and what may come after it."""
    lines = "\n".join(f"    {line}" for line in fields.strip().splitlines())
    return flow(
        f"- id: talk\n  converse:\n    exits: {{done_: {{}}, person: {{}}}}\n{lines}\n"
        "  outcomes: {silence: [], max_duration: [], provider_error: []}\n" + after,
        head=head,
    )


async def talk(
    folder: Path, script: Script, *replies: Any, fields: str = "greeting: Hello.", after: str = "", head: str = "",
    **options: Any,
) -> Over:  # fmt: skip
    return await dial(library(folder, converse(fields, after=after, head=head)), script, *replies, **options)


def outcome(over: Over) -> str | None:
    return next(step.outcome for step in over.record.steps if step.verb == "converse")


def detail(over: Over) -> str:
    return next(step.detail for step in over.record.steps if step.verb == "converse")


async def quiet(line: VirtualLine) -> None:
    """The caller says nothing at all."""


def finish(way: str = "done_", **data: Any) -> Calls:
    return Calls("finish", {"exit": way, **data})


async def asks(line: VirtualLine) -> None:
    """The caller hears the greeting to its end and asks something."""
    await line.caller.hears("hello")
    await line.caller.says("What do you have?", 1.0)


async def interrupts(line: VirtualLine) -> None:
    await line.log.until("answered")
    await line.caller.waits(1.4)  # the greeting began 0.4 s after the answer
    await line.caller.says("Stop it!", 0.6)


def provider_of(kind: type[VirtualVoice], replies: Any = (), **options: Any) -> VirtualProvider:
    """A provider whose voices are of a test's own kind."""

    class Provider(VirtualProvider):
        def voice(self, session: Session) -> VirtualVoice:
            self.voices.append(kind(self, session))
            return self.voices[-1]

    return Provider(replies, **options)


class Directed(VirtualVoice):
    """Says and does what the test puts into its events, and nothing else."""

    async def send_audio(self, audio: bytes) -> None:
        pass

    async def say(self, text: str) -> None:
        pass

    def tells(self, *events: VoiceEvent) -> None:
        for event in events:
            self._emit(event)


def audio(item: str, ms: int) -> Audio:
    return Audio(b"\x00" * 8 * ms, item)


async def directed(
    folder: Path, acts: Any, *, fields: str = "silence: {reprompts: 0, after: 3s}", after: str = "", **options: Any
) -> Over:
    """A conversation in which ``acts(voice, line)`` decides what the voice does, from the moment it is connected."""
    provider = provider_of(Directed, **options)

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.2)
        await acts(provider.voices[0], line)

    return await talk(folder, script, fields=fields, after=after, provider=provider)


def sounds(over: Over) -> list[tuple[str, int]]:
    return [(entry.what, entry.ms) for entry in over.line.log.find("heard", "cut")]
