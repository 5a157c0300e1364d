"""Transcripts: what is said in a recording, by the recogniser that listens to callers, but faster than they spoke."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.audio import BYTES_PER_MS
from engine.beside import beside
from engine.listening import CLOSE_WITHIN, CONNECT_WITHIN, Recognisers, close
from providers.parts import Recogniser
from providers.voice import Failed, Metered, Usage, Used, UserText, VoiceError

FASTER = 8  # times real time: providers take it, and the network of a small office, too
PIECE_MS = 200
READ_WITHIN = 30.0  # seconds from the last audio to the last text


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said. ``problem``: why some of it is missing, if it is."""

    text: str
    problem: str = ""


def patience(audio: bytes) -> float:
    """Seconds that the transcript of so much G.711 takes at most."""
    return CONNECT_WITHIN + len(audio) / BYTES_PER_MS / 1000 / FASTER + READ_WITHIN + CLOSE_WITHIN


async def transcribe(
    recognisers: Recognisers,
    audio: bytes,
    law: str,
    *,
    provider: str | None = None,
    language: str | None = None,
    hints: Sequence[str] = (),
    spent: Callable[[str, Usage], None] = lambda name, usage: None,
) -> Transcript:
    """The transcript of G.711 audio of this law, within `patience` seconds. Raises `VoiceError` when there is none.

    An empty text is no error: nothing was said that can be understood. ``spent`` is told who wrote and what was used.
    """
    name = f"{recognisers.name(provider)}/listening"
    recogniser = recognisers.open(law, provider=provider, language=language, hints=hints)
    texts: list[str] = []
    problem = ""
    try:
        async with asyncio.timeout(patience(audio) - CLOSE_WITHIN):
            await recogniser.connect()
            async with beside(_feed(recogniser, audio)):
                async for event in recogniser.events():
                    if isinstance(event, UserText) and event.final and event.text.strip():
                        texts.append(event.text.strip())
                    elif isinstance(event, Used):
                        spent(name, event.usage)
                    elif isinstance(event, Failed):
                        problem = event.message
    except TimeoutError:
        problem = f"the recogniser did not come to an end within {patience(audio):.0f} s"
    finally:
        await close(recogniser)
        for usage in recogniser.settle() if isinstance(recogniser, Metered) else ():
            spent(name, usage)
    if problem and not texts:
        raise VoiceError(problem, code="transcription", recoverable=True)
    return Transcript(" ".join(texts), problem)


async def _feed(recogniser: Recogniser, audio: bytes) -> None:
    """All of it, at a steady pace."""
    clock = asyncio.get_running_loop().time
    began, size = clock(), PIECE_MS * BYTES_PER_MS
    for number, start in enumerate(range(0, len(audio), size), 1):
        await recogniser.send_audio(audio[start : start + size])
        await asyncio.sleep(began + number * PIECE_MS / 1000 / FASTER - clock())
    await recogniser.finish()
