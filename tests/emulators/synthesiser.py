"""A program that is called like flite and speaks half a second of tone."""

from __future__ import annotations

import wave
from pathlib import Path


def synthesiser_in(folder: Path) -> list[str]:
    """Its command line; ``folder/spoken`` has a line of arguments for each time that it was called."""
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\x00\x10\x00\xf0" * 4000)
    script = f'for last; do :; done; cat >> {folder}/spoken; cp {folder}/tone.wav "$last"'
    return ["/bin/sh", "-c", script, "flite"]
