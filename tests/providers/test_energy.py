import random

import pytest

from providers.energy import Edge, EnergyDetector
from providers.voice import ALAW, AudioFormat
from tests.emulators.openai_realtime import silence, tone
from tests.emulators.openai_realtime.sound import from_ulaw


def edges(detector: EnergyDetector, *pieces: bytes) -> list[Edge]:
    return [edge for piece in pieces for edge in detector.feed(piece)]


def noise(ms: int, amplitude: int) -> bytes:
    import array
    import audioop

    dice = random.Random(7)
    samples = array.array("h", (dice.randint(-amplitude, amplitude) for _ in range(ms * 8)))
    return audioop.lin2ulaw(samples.tobytes(), 2)


def test_finds_a_turn_and_its_place() -> None:
    found = edges(EnergyDetector(min_silence_ms=600), silence(500), tone(800), silence(700))
    assert found == [Edge(True, 500), Edge(False, 1900)]


def test_audio_may_come_in_pieces_of_any_size() -> None:
    audio = silence(500) + tone(800) + silence(700)
    pieces = [audio[start : start + 333] for start in range(0, len(audio), 333)]
    assert edges(EnergyDetector(), *pieces) == edges(EnergyDetector(), audio)


def test_a_click_is_not_speech() -> None:
    assert edges(EnergyDetector(), silence(300), tone(40), silence(300), tone(60), silence(300)) == []


def test_a_pause_between_words_does_not_end_the_turn() -> None:
    detector = EnergyDetector(min_silence_ms=600)
    assert edges(detector, tone(400), silence(400), tone(400), silence(500)) == [Edge(True, 0)]
    assert detector.speaking


def test_the_prefix_reaches_back_but_not_before_the_beginning() -> None:
    assert edges(EnergyDetector(prefix_ms=300), silence(1000), tone(200))[0] == Edge(True, 700)
    assert edges(EnergyDetector(prefix_ms=300), tone(200))[0] == Edge(True, 0)


def test_a_steady_noise_becomes_the_floor_and_speech_above_it_is_heard() -> None:
    detector = EnergyDetector()
    hum = noise(4500, 2000)
    first = edges(detector, hum)
    assert [edge.speaking for edge in first] == [True, False]
    assert [edge.speaking for edge in edges(detector, tone(400, amplitude=16000), noise(1000, 2000))] == [True, False]


def test_the_threshold_is_a_loudness() -> None:
    quiet = tone(400, amplitude=600)
    assert edges(EnergyDetector(threshold=0.9), quiet) == []
    assert edges(EnergyDetector(threshold=0.2), quiet) == [Edge(True, 0)]


@pytest.mark.parametrize(
    ("format", "name"), [(ALAW, "audio/pcma"), (AudioFormat("pcm16", 24000), "audio/pcm")], ids=["alaw", "pcm"]
)
def test_hears_in_every_format(format: AudioFormat, name: str) -> None:
    audio = from_ulaw(silence(500) + tone(800) + silence(700), name)
    assert [edge.speaking for edge in edges(EnergyDetector(format), audio)] == [True, False]
