"""The text model that takes part in tests, as the settings name it, and what is said when there is none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from engine.errors import UserError
from engine.settings import Settings
from engine.voices import Voices, known_voices
from providers.parts import TextModel
from providers.voice import VoiceError


@contextlib.contextmanager
def text_model(settings: Settings, provider: str | None) -> Iterator[tuple[asyncio.Runner, TextModel, str | None]]:
    """The model of ``provider`` (else of the setting `text`), which of its models, and the loop on which to ask it.

    Raises `UserError` saying what to set.
    """
    name = provider or settings.text
    if name is None:
        raise UserError(f"no text model is set: give --provider NAME, or set HOOKFLASH_TEXT ({_those_that_write()})")
    voices = Voices(settings.voice_settings())
    with asyncio.Runner() as runner:
        try:
            yield runner, runner.run(_opened(voices, name)), settings.text_model if name == settings.text else None
        finally:
            runner.run(voices.close())


async def _opened(voices: Voices, name: str) -> TextModel:
    try:
        model = voices.get(name).text_model()
    except VoiceError as error:
        raise UserError(str(error)) from error
    if model is None:
        raise UserError(f"the voice '{name}' has no text model ({_those_that_write()})")
    return model


def _those_that_write() -> str:
    names = [name for name, capabilities in known_voices().items() if capabilities.writes]
    return f"voices that have one: {', '.join(names)}" if names else "no installed voice has one"
