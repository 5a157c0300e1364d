"""A voice that is installed for one test of ours: its text model does as the test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from providers.parts import TextModel
from providers.voice import AudioFormat, Capabilities, Session, Voice, VoiceError

CAPABILITIES = Capabilities(writes=True)
NAME = "thinker"
thinking: TextModel | None = None  # what the next provider gives
closed: list[str] = []


class ThinkingProvider:
    """Satisfies `providers.voice.Provider`."""

    name = NAME
    capabilities = CAPABILITIES

    def voice(self, session: Session) -> Voice:
        raise VoiceError("it has no voice")

    def speaker(self) -> None:
        """None."""

    def recogniser(self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()) -> None:
        """None."""

    def text_model(self) -> TextModel | None:
        return thinking

    async def close(self) -> None:
        closed.append(self.name)


def provider(settings: Mapping[str, str]) -> ThinkingProvider:
    """The entry point."""
    if "api_key" not in settings:
        raise VoiceError("thinker needs a key: set HOOKFLASH_VOICES_THINKER_API_KEY", code="no_key")
    return ThinkingProvider()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the voice `thinker` known to this process and to those that it starts."""
    info = folder / "thinker-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thinker\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[hookflash.voices]\n{NAME} = {__name__}:provider\n")
    monkeypatch.syspath_prepend(folder)
