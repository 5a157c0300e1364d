"""What tests read off recordings: who was silent how long, when the voice stopped, which tones were played."""

from __future__ import annotations

import audioop
from collections.abc import Awaitable, Callable, Mapping

from asterisk.recording import Track
from providers.energy import EnergyDetector
from tests.emulators.openai_realtime import tone

MS_OF_A_CHARACTER = 60


def singing(pitches: Mapping[str, float]) -> Callable[[str], Awaitable[bytes]]:
    """A voice for the emulator: each text is a tone of its own pitch (Hz), 60 ms a character."""

    async def voice(text: str) -> bytes:
        return tone(MS_OF_A_CHARACTER * len(text), pitches.get(text, 300.0))

    return voice


def seconds_of(text: str) -> float:
    """How long that voice sings a text."""
    return MS_OF_A_CHARACTER * len(text) / 1000


def interruption(said: Track, heard: Track) -> tuple[float, float, float, float]:
    """(when the voice began, when the caller spoke over it, when a detector noticed, when the voice fell silent)."""
    spoke = said.bursts()[0][0]
    began, stopped = next((start, end) for start, end in heard.bursts(0.25) if end > spoke)
    assert began < spoke, f"the caller spoke at {spoke:.2f} s, when nothing was heard: {heard.bursts(0.25)}"
    return began, spoke, noticed(said), stopped


def noticed(said: Track) -> float:
    """When the emulator's detector of speech, fed with this, says that somebody speaks."""
    ears = EnergyDetector(threshold=0.5)
    ulaw = audioop.lin2ulaw(said.samples.tobytes(), 2)
    for at in range(0, len(ulaw), 160):
        if any(edge.speaking for edge in ears.feed(ulaw[at : at + 160])):
            return (at + 160) / 8000
    raise AssertionError("the caller was never loud enough")


def longest_silence(heard: Track, since: float = 0.0, to: float | None = None) -> float:
    """Seconds of the longest time without sound between two moments of a recording."""
    end = heard.seconds if to is None else to
    edges = [since]
    for start, stop in heard.bursts(0.02):
        if stop > since and start < end:
            edges += [max(start, since), min(stop, end)]
    edges.append(end)
    return max(after - before for before, after in zip(edges[::2], edges[1::2], strict=True))


def seconds_of_tone(heard: Track, hertz: float) -> float:
    """How long a tone was heard, counted in tenths of a second that hold little else."""
    step = 0.1
    count = int(heard.seconds / step)
    return sum(heard.part(n * step, (n + 1) * step).tone_share(hertz) > 0.8 for n in range(count)) * step
