"""Whose realtime protocol the emulator speaks: OpenAI's as it is, or a vendor's that says some things differently.

A surface sees every event on its way out and in. What the emulator holds inside is always OpenAI's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.emulators.openai_realtime.oracle import Oracle

if TYPE_CHECKING:
    from collections.abc import Callable

Event = dict[str, Any]


class Surface:
    """OpenAI, and Azure OpenAI under its own address."""

    path = "/v1/realtime"
    model_in_query = True

    def __init__(self, *, path: str | None = None, header: str = "Authorization") -> None:
        self.path = path or self.path
        self.header = header

    def oracle(self) -> Oracle:
        """The judge of the frames as they are on the wire."""
        return Oracle()

    def key(self, request: web.Request) -> str:
        """The API key of a request; empty when it has none."""
        value = request.headers.get(self.header, "")
        if self.header != "Authorization":
            return value
        scheme, _, key = value.partition(" ")
        return key if scheme == "Bearer" else ""

    def incoming(self, event: Event) -> Event:
        """The client's event as OpenAI would have it."""
        return event

    def outgoing(self, event: Event, new_id: Callable[[], str]) -> Iterator[Event]:
        """What goes over the wire for an event of ours."""
        yield event
