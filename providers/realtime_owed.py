"""What an answer used that the end of a talk cuts off. Vendors tell it with the answer's end, so that is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

from aiohttp import ClientConnectionError, ClientWebSocketResponse, WSMsgType

from providers.voice import TurnDone, Usage, Used, VoiceEvent

OWED_WITHIN = 0.5  # seconds; nobody waits for it but the socket


@runtime_checkable
class Owing(Protocol):
    """A protocol that knows whether the usage of an answer is still to come."""

    @property
    def owes(self) -> bool:
        """Whether an answer is under way that was not told to have ended."""

    def interrupt(self) -> None:
        """Stop it."""

    def receive(self, frame: str | bytes) -> Sequence[VoiceEvent]:
        """The events in one frame."""


async def owed(socket: ClientWebSocketResponse, wire: Owing) -> list[Usage]:
    """What is told on this socket until the answer has ended, within bounds. Nobody else may read it."""
    told: list[Usage] = []
    # RuntimeError: its reader still reads, and counts what comes.
    with suppress(TimeoutError, ConnectionError, ClientConnectionError, RuntimeError):
        async with asyncio.timeout(OWED_WITHIN):
            while wire.owes:
                message = await socket.receive()
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                told += [event.usage for event in wire.receive(message.data) if isinstance(event, TurnDone | Used)]
    return told
