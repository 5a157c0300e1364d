"""A caller who waits for a step hears music after 1.7 s, whatever it waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.http import HttpFailedError
from engine.safety import APOLOGY
from engine.services import Services
from engine.speech import Speech
from engine.virtual import VirtualProvider, virtual_services, virtual_time
from engine.virtual.voice import VirtualSpeaker
from engine.voices import Voices
from tests.engine.verbs.phone import Endpoints, Over, dial, flow, library

OUTCOMES = "outcomes: {http_error: [], timeout: []}"
WAITS = {
    "http": f"- http: {{endpoint: pos, path: /x}}\n  {OUTCOMES}",
    "event": f"- event: {{endpoint: pos, path: /x, name: a.b}}\n  {OUTCOMES}",
    "sms": f"- sms: {{endpoint: pos, path: /x, to: '+14155550100', text: Hi.}}\n  {OUTCOMES}",
    "play": f"- play: {{endpoint: pos, path: /x}}\n  {OUTCOMES}",
}


class Slow(Endpoints):
    """Every request takes 5 s."""

    def __init__(self) -> None:
        super().__init__({"/x": (5.0, {})})

    async def fetch(self, *_: Any, **__: Any) -> bytes:
        await asyncio.sleep(5.0)
        raise HttpFailedError("there is no such sound", status=404)


def spoken_in(seconds: float) -> Services:
    """A house whose synthesiser takes so long for a prompt."""

    class Speaker(VirtualSpeaker):
        async def speak(self, text: str, **options: Any) -> bytes:
            await asyncio.sleep(seconds)
            return await super().speak(text, **options)

    class Provider(VirtualProvider):
        def speaker(self) -> VirtualSpeaker:
            return Speaker()

    voice, slow = VirtualProvider(), Provider(name="slow")
    voices = Voices()
    for provider in (voice, slow):
        voices.add(provider.name, provider)
    return virtual_services(voice, voices=voices, speech=Speech(voices, "slow"), http=Slow())


def music(over: Over) -> list[int]:
    """How long the caller heard some, in ms."""
    return [entry.ms for entry in over.line.log.find("heard", "cut") if not entry.text and entry.ms]


@pytest.mark.parametrize("verb", WAITS)
@virtual_time
async def test_a_caller_who_waits_for_the_company_hears_music_and_then_what_comes(tmp_path: Path, verb: str) -> None:
    over = await dial(library(tmp_path, flow(f"- answer:\n{WAITS[verb]}\n- say: Hi.\n")), http=Slow())
    assert music(over) == [pytest.approx(3300, abs=50)]
    assert over.heard == ["Hi."]


@pytest.mark.parametrize("verb", ["http", "event", "sms"])
@virtual_time
async def test_who_does_not_wait_hears_none(tmp_path: Path, verb: str) -> None:
    step = WAITS[verb].replace("path: /x", "path: /x, wait: false").replace(f"\n  {OUTCOMES}", "")
    over = await dial(library(tmp_path, flow(f"- answer:\n{step}\n- wait: 4s\n- say: Hi.\n")), http=Slow())
    assert music(over) == []


@virtual_time
async def test_a_call_that_is_not_answered_is_not_answered_for_music(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow(f"{WAITS['http']}\n- reject: 486\n")), http=Slow())
    assert music(over) == []
    assert not over.line.is_answered


@virtual_time
async def test_a_caller_who_waits_for_the_synthesiser_hears_music(tmp_path: Path) -> None:
    services = spoken_in(9.0)
    over = await dial(library(tmp_path, flow(f"- answer:\n{WAITS['http']}\n- say: Hi.\n")), services=services)
    assert music(over) == [pytest.approx(3300, abs=50), pytest.approx(7300, abs=50)]
    assert over.heard == ["Hi."]


@virtual_time
async def test_the_steps_before_an_attempt_play_nothing_into_the_ringback(tmp_path: Path) -> None:
    before = "{http: {endpoint: pos, path: /x}, outcomes: {http_error: [], timeout: []}}"
    steps = f"""
    - transfer:
        attempts: [{{targets: ["pjsip:bob"], timeout: 8s, before: [{before}]}}]
      outcomes: {{failed: []}}
    """
    target = {"pjsip:bob": {"answer": 1, "hangs_up_after": 2}}
    over = await dial(library(tmp_path, flow(steps)), http=Slow(), targets=target)
    played = over.line.log.find("heard", "cut")
    assert [entry.what for entry in played] == ["heard", "cut"]
    assert sum(entry.ms for entry in played) == pytest.approx(6000, abs=100)


@virtual_time
async def test_an_apology_does_not_wait_for_a_synthesiser_that_has_failed(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- answer:\n- say: Hi.\n")), services=spoken_in(60.0))
    assert APOLOGY not in over.heard
    last = over.line.log.find("heard")[-1]
    assert last.at - last.ms / 1000 == pytest.approx(10.0 + 3.0, abs=0.1), "a tone, 3 s after the step failed"
