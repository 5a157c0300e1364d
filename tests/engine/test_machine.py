"""Telling machines from people, and beeps from everything else that a telephone says."""

from __future__ import annotations

import json
import math
import random
import struct
from functools import cache

import pytest

from asterisk.installation import Installation
from engine.audio import encode, reorder, ringback, silence, tone
from engine.machine import Answer, Beep
from providers.rehearsal import provider
from providers.voice import ULAW

FRAME = 160
GREETING = (
    "You have reached the answering machine of Miller and Sons. We are not here at the moment. Please leave your name "
    "and number after the tone."
)
VOICES = ("slt", "rms", "kal", "awb")


def beeped(audio: bytes, law: str = "ulaw") -> int | None:
    """After how many milliseconds a beep is noticed."""
    beep = Beep(law)
    for start in range(0, len(audio), FRAME):
        beep.feed(audio[start : start + FRAME])
        if beep.heard:
            return start // 8 + 20
    return None


def answered(audio: bytes, *, within_ms: int = 4000, max_words: int = 6) -> tuple[str, int]:
    answer = Answer("ulaw", max_words)
    for start in range(0, min(len(audio), within_ms * 8), FRAME):
        answer.feed(audio[start : start + FRAME])
        if answer.verdict is not None:
            return answer.verdict, start // 8 + 20
    return answer.at_the_end(), within_ms


def noisy(hertz: float, decibels: float, ms: int = 400) -> bytes:
    dice, level = random.Random(1), 3000.0
    noise = level / math.sqrt(2) * 10 ** (-decibels / 20)
    samples = (level * math.sin(math.tau * hertz * n / 8000) + dice.gauss(0, noise) for n in range(8 * ms))
    return encode(struct.pack(f"<{8 * ms}h", *map(int, samples)), "ulaw")


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
@pytest.mark.parametrize("hertz", [400.0, 440.0, 850.0, 1000.0, 1400.0, 2000.0])
def test_a_beep_is_noticed_while_it_sounds(hertz: float, law: str) -> None:
    sound = silence(100, law) + tone((hertz,), 300, law) + silence(500, law)
    assert 260 <= (beeped(sound, law) or 0) <= 300


@pytest.mark.parametrize("hertz", [440.0, 1000.0, 1400.0])
def test_a_beep_is_noticed_on_a_noisy_line(hertz: float) -> None:
    assert beeped(noisy(hertz, 25)) == 160


def test_a_click_is_no_beep() -> None:
    assert beeped(silence(100, "ulaw") + tone((1000.0,), 120, "ulaw") + silence(200, "ulaw")) is None


@pytest.mark.parametrize("low", [697.0, 770.0, 852.0, 941.0])
@pytest.mark.parametrize("high", [1209.0, 1336.0, 1477.0, 1633.0])
def test_a_key_is_no_beep(low: float, high: float) -> None:
    assert beeped(tone((low, high), 400, "ulaw")) is None


@pytest.mark.parametrize("sound", [ringback("ulaw"), reorder("ulaw"), tone((350.0, 440.0), 2000, "ulaw")])
def test_ringing_busy_and_dial_tone_are_no_beeps(sound: bytes) -> None:
    assert beeped(sound) is None


def test_noise_is_no_beep() -> None:
    dice = random.Random(2)
    assert beeped(encode(struct.pack("<16000h", *(dice.randint(-8000, 8000) for _ in range(16000))), "ulaw")) is None


@cache
def _speaker(flite: str) -> object:
    return provider({"flite": flite}).speaker()


async def speech(installation: Installation, text: str, voice: str) -> bytes:
    speaker = _speaker(json.dumps(installation.flite()))
    return bytes(await speaker.speak(text, voice=voice, language=None, format=ULAW))  # type: ignore[attr-defined]


@pytest.mark.asterisk
@pytest.mark.parametrize("voice", VOICES)
async def test_a_person_says_a_few_words_and_waits(installation: Installation, voice: str) -> None:
    for text in ("Hello?", "Good morning, Smith residence.", "Yes, hello, who is this?"):
        said = await speech(installation, text, voice)
        verdict, after = answered(silence(300, "ulaw") + said + silence(2000, "ulaw"))
        assert (verdict, beeped(said)) == ("human", None), text
        assert after <= 300 + len(said) // 8 + 900  # a person is not kept waiting


@pytest.mark.asterisk
@pytest.mark.parametrize("voice", VOICES)
async def test_a_machine_talks_on_and_beeps_at_the_end(installation: Installation, voice: str) -> None:
    said = await speech(installation, GREETING, voice)
    assert answered(silence(300, "ulaw") + said)[0] == "machine"
    assert beeped(said) is None
    at = beeped(said + silence(500, "ulaw") + tone((1000.0,), 400, "ulaw"))
    assert at is not None
    assert at > len(said) // 8


def test_who_says_nothing_is_unknown() -> None:
    assert answered(silence(4000, "ulaw")) == ("unknown", 4000)


def test_who_says_hello_at_the_last_moment_is_a_person() -> None:
    said = tone((300.0, 620.0, 1100.0), 500, "ulaw")
    assert answered(silence(3500, "ulaw") + said)[0] == "human"


def test_more_words_than_a_person_says_are_a_machine_at_once() -> None:
    word = tone((300.0, 620.0, 1100.0), 200, "ulaw") + silence(120, "ulaw")
    verdict, after = answered(word * 12, max_words=4)
    assert verdict == "machine"
    assert after < 5 * 320
