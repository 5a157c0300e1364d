"""Whose account a call uses at the providers: the one that its route or flow names, else the engine's own.

It holds for everything that the call does, in whatever flow, as long as it lives: so it goes with the call's tasks, and
nobody has to hand it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from providers.parts import Recogniser, TextModel
from providers.voice import AudioFormat, Capabilities, Provider, Session, Speaker, Voice, VoiceError

FULL = "max_sessions"  # the code of the error when an account has as many sessions as it may

_ACCOUNT: ContextVar[str | None] = ContextVar("account", default=None)


def current() -> str | None:
    """The account that counts here; None: the engine's own."""
    return _ACCOUNT.get()


@contextmanager
def using(account: str | None) -> Iterator[None]:
    """Use this account inside of the block, and in every task that is started there."""
    token = _ACCOUNT.set(account)
    try:
        yield
    finally:
        _ACCOUNT.reset(token)


class Limited:
    """A provider with at most so many sessions at a time."""

    def __init__(self, provider: Provider, most: int, whose: str) -> None:
        self.name = provider.name
        self.capabilities: Capabilities = provider.capabilities
        self.open = 0
        self._provider = provider
        self._most = most
        self._whose = whose

    def voice(self, session: Session) -> Voice:
        """A voice for one conversation. Raises `VoiceError`, also when there are as many as there may be."""
        if self.open >= self._most:
            text = f"{self._whose} has {self.open} sessions of {self.name} open, as many as it may (max_sessions)"
            raise VoiceError(text, code=FULL, recoverable=True)
        voice = self._provider.voice(session)
        self.open += 1
        return _Counted(voice, self._closed)

    def _closed(self) -> None:
        self.open -= 1

    def speaker(self) -> Speaker | None:
        """The provider's own."""
        return self._provider.speaker()

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> Recogniser | None:
        """The provider's own; not counted."""
        return self._provider.recogniser(format=format, language=language, hints=hints)

    def text_model(self) -> TextModel | None:
        """The provider's own; not counted."""
        return self._provider.text_model()

    async def close(self) -> None:
        """Release what voices share."""
        await self._provider.close()


class _Counted:
    """A voice that tells when it is closed. Its methods are the voice's own: audio takes no further step."""

    def __init__(self, voice: Voice, closed: Callable[[], None]) -> None:
        self.connect = voice.connect
        self.events = voice.events
        self.send_audio = voice.send_audio
        self.say = voice.say
        self.answer = voice.answer
        self.interrupt = voice.interrupt
        self.truncate = voice.truncate
        self.tool_result = voice.tool_result
        self.update = voice.update
        self._voice = voice
        self._closed: Callable[[], None] | None = closed
        for name in dir(voice):  # what some voices have besides
            if not name.startswith("_") and not hasattr(self, name):
                setattr(self, name, getattr(voice, name))

    async def close(self) -> None:
        """End the session, which then counts no more."""
        closed, self._closed = self._closed, None
        try:
            await self._voice.close()
        finally:
            if closed is not None:
                closed()
