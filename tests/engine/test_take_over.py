"""The moments between two voices: what the caller hears, what the next one knows, and that no session stays open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.services import Services
from engine.speech import Speech
from engine.virtual import (
    Calls,
    Closes,
    Fails,
    Says,
    Stalls,
    VirtualLine,
    VirtualProvider,
    VirtualVoice,
    virtual_services,
)
from engine.virtual.clock import virtual_time
from engine.virtual.voice import VirtualSpeaker
from engine.voices import Voices
from providers.voice import TurnDone, VoiceEvent
from tests.engine.verbs.phone import Endpoints, Over, Script, dial, flow, library
from tests.engine.verbs.talking import asks, converse, finish, outcome, provider_of

TWO = "provider: [openai, grok]\ngreeting: Hello.\nbridge: Wait."
HANDLER = "handlers: [{event: dtmf, digits: '0', steps: [{say: Operator.}]}]"


class SlowSpeaker(VirtualSpeaker):
    async def speak(self, text: str, **options: Any) -> bytes:
        await asyncio.sleep(9.0)
        return await super().speak(text, **options)


class Speakers(VirtualProvider):
    def speaker(self) -> VirtualSpeaker:
        return SlowSpeaker()


def house_of(*providers: VirtualProvider, speaks: VirtualProvider | None = None, **changes: Any) -> Services:
    """Services with these voices; ``speaks`` synthesises prompts."""
    voices = Voices()
    for provider in (*providers, *([] if speaks is None else [speaks])):
        voices.add(provider.name, provider)
    speech = Speech(voices, (speaks or providers[0]).name)
    return virtual_services(providers[0], voices=voices, speech=speech, default_voice=providers[0].name, **changes)


async def two(
    folder: Path, script: Script, first: VirtualProvider, second: VirtualProvider, *, steps: str = "", **options: Any
) -> Over:
    """A call in which two voices may talk; at its end no session of either is open."""
    services = options.pop("services", None) or house_of(first, second)
    over = await dial(library(folder, steps or converse(TWO)), script, provider=first, services=services, **options)
    for provider in (first, second):
        assert all(voice.closed for voice in provider.voices), provider.name
        labels = {"provider": provider.name}
        assert not services.metrics.registry.get_sample_value("hookflash_provider_sessions_active", labels)
    return over


@virtual_time
async def test_the_first_word_does_not_wait_for_the_words_of_the_bridge(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello", within=2.0)
        await line.caller.says("Goodbye.", 1.0)

    first, second = VirtualProvider([[finish()]], name="openai"), VirtualProvider(name="grok")
    services = house_of(first, second, speaks=Speakers(name="slow"))
    over = await two(tmp_path, script, first, second, services=services)
    assert outcome(over) == "done_"


@virtual_time
async def test_a_voice_takes_over_before_the_words_of_the_bridge_are_there(tmp_path: Path) -> None:
    first = VirtualProvider([[Closes()]], name="openai")
    second = VirtualProvider([[Says("Nine dollars."), finish()]], name="grok", connects_after=0.5)
    over = await two(tmp_path, asks, first, second, services=house_of(first, second, speaks=Speakers(name="slow")))
    assert (outcome(over), over.heard) == ("done_", ["Hello.", "Nine dollars."])


@pytest.mark.parametrize("after", [step * 0.1 for step in range(8)])
@pytest.mark.parametrize("leaves", ["hangs up", "presses", "runs out of time"])
@virtual_time
async def test_no_session_stays_open_when_the_talk_ends_while_it_begins(
    tmp_path: Path, leaves: str, after: float
) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(after)
        if leaves == "hangs up":
            await line.caller.hangs_up()
        elif leaves == "presses":
            await line.caller.presses("0")

    first, second = VirtualProvider(name="openai", connects_after=0.3), VirtualProvider(name="grok")
    steps = converse(TWO, head=HANDLER)
    if leaves == "runs out of time":
        steps = steps.replace("  outcomes:", f"  timeout: {0.1 + after:.1f}s\n    outcomes:")
    services = house_of(first, second, speaks=Speakers(name="slow"))
    await two(tmp_path, script, first, second, steps=steps, services=services)


@pytest.mark.parametrize("after", [step * 0.02 for step in range(-4, 12)])
@virtual_time
async def test_no_session_stays_open_when_the_caller_hangs_up_while_another_takes_over(
    tmp_path: Path, after: float
) -> None:
    first, second = VirtualProvider([[Closes()]], name="openai"), VirtualProvider(name="grok", connects_after=2.9)

    async def script(line: VirtualLine) -> None:
        await asks(line)
        while not second.voices:
            await line.caller.waits(0.005)
        await line.caller.waits(2.9 + after)
        await line.caller.hangs_up()

    await two(tmp_path, script, first, second, line=VirtualLine(latency=0.2))


@pytest.mark.parametrize("after", [step * 0.04 for step in range(14)])
@virtual_time
async def test_no_session_stays_open_when_somebody_answers_while_the_company_connects(
    tmp_path: Path, after: float
) -> None:
    provider = VirtualProvider(connects_after=1.0)
    line = VirtualLine(latency=0.2, targets={"pjsip:bob": {"answer": 0.6 + after}})

    async def script(line: VirtualLine) -> None:
        await line.log.until("connected")
        await line.caller.hangs_up()

    steps = "- transfer: {attempts: [{targets: ['pjsip:bob']}], caller_hears: ai}\n  outcomes: {failed: []}\n"
    await dial(library(tmp_path, flow(steps)), script, provider=provider, line=line)


TOOL = TWO + "\ntools: {look: {description: Looks., http: {endpoint: pos, path: /x}}}"


@pytest.mark.parametrize("takes", [0.2, 1.0, 1.9, 6.0])
@virtual_time
async def test_what_a_tool_says_while_another_voice_connects_is_known_to_it(tmp_path: Path, takes: float) -> None:
    first = VirtualProvider([[Calls("look"), Closes()]], name="openai")
    replies = [[Says("I look."), *([] if takes > 3.0 else [finish()])], [Says("It is there."), finish()]]
    second = VirtualProvider(replies, name="grok", connects_after=2.0)
    services = house_of(first, second, http=Endpoints({"/x": (takes, {"left": 4711})}))
    over = await two(tmp_path, asks, first, second, steps=converse(TOOL), services=services)
    assert outcome(over) == "done_"
    [voice] = second.voices
    assert '- look({}) said {"left": 4711}' in voice.instructions
    assert over.heard[2:] == (["I look.", "It is there."] if takes > 3.0 else ["I look."])
    assert "Still running, do not call again" in voice.session.instructions
    assert first.voices[0].results == []


@virtual_time
async def test_of_two_that_could_take_over_the_second_knows_what_came_while_the_first_was_asked(tmp_path: Path) -> None:
    first = VirtualProvider([[Calls("look"), Closes()]], name="openai")
    mute = VirtualProvider(name="gemini", connects_after=60.0)
    second = VirtualProvider([[Says("It is there."), finish()]], name="grok")
    services = house_of(first, second, mute, http=Endpoints({"/x": (2.0, {"left": 4711})}))
    steps = converse(TOOL.replace("[openai, grok]", "[openai, gemini, grok]"))
    over = await two(tmp_path, asks, first, second, steps=steps, services=services)
    assert outcome(over) == "done_"
    assert "4711" in second.voices[0].session.instructions
    assert "Still running" not in second.voices[0].session.instructions


FAREWELL = "I put you through to a colleague now."


@pytest.mark.parametrize("end", [Closes(), Fails(), Stalls()], ids=["closes", "fails", "stalls"])
@pytest.mark.parametrize("ms", [300, 3000, 9000])
@virtual_time
async def test_an_exit_that_was_taken_is_kept_when_the_voice_breaks_in_its_farewell(
    tmp_path: Path, ms: int, end: Any
) -> None:
    first, second = VirtualProvider([[Says(FAREWELL, ms), finish("person"), end]], name="openai"), VirtualProvider()
    over = await two(tmp_path, asks, first, second, steps=converse(TWO, after="- say: Next.\n"))
    assert outcome(over) == "person"
    assert second.voices == []
    heard = over.line.log.find("heard", "cut")[1]
    assert heard.ms == ms if ms < 4000 else 3900 < heard.ms < 5500
    if not isinstance(end, Stalls):
        assert over.record.steps[0].ms == pytest.approx(heard.at * 1000, abs=2), "nobody waits for what will not come"


class Raises(VirtualVoice):
    """Mistakes of a plugin: in its events, in a command, in what takes the caller's audio."""

    where = ""

    async def events(self) -> AsyncIterator[VoiceEvent]:
        async for event in super().events():
            yield event
            if self.where == "events" and isinstance(event, TurnDone):
                raise ValueError("a bad frame")

    async def truncate(self, item: str, played_ms: int) -> None:
        if self.where == "truncate":
            raise ValueError("a bad frame")

    async def send_audio(self, audio: bytes) -> None:
        await super().send_audio(audio)
        if self.where == "send_audio" and self.heard:
            raise ValueError("a bad frame")


@pytest.mark.parametrize("where", ["events", "truncate", "send_audio"])
@virtual_time
async def test_a_voice_that_raises_has_failed_and_the_next_one_goes_on(tmp_path: Path, where: str) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1.4)
        await line.caller.says("Stop it!", 0.6)
        await line.caller.waits(2.0)
        await line.caller.says("Well?", 0.6)
        await line.caller.waits(2.0)
        await line.caller.hangs_up()

    kind = type("RaisesThere", (Raises,), {"where": where})
    first = provider_of(kind, [[Says("Pizza.")]], name="openai")
    second = VirtualProvider([[Says("Soup.")]] * 3, name="grok")
    over = await two(tmp_path, script, first, second, steps=converse(TWO.replace("Hello.", "Hello. " * 9)))
    assert over.heard[-1] == "Soup."
    system = [said.text for said in over.record.transcript if said.role == "system"]
    assert system == ["grok took over from openai: ValueError: a bad frame"]
    assert over.record.error == ""


@virtual_time
async def test_a_voice_that_raises_while_it_connects_cannot_be_had_and_the_next_one_begins(tmp_path: Path) -> None:
    class Broken(VirtualVoice):
        async def connect(self) -> None:
            raise KeyError("session")

    first, second = provider_of(Broken, name="openai"), VirtualProvider([[Says("Soup."), finish()]], name="grok")
    over = await two(tmp_path, asks, first, second)
    assert (outcome(over), over.heard) == ("done_", ["Hello.", "Soup."])
