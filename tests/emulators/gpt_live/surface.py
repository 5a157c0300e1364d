"""Where the Live API is found, and who judges its frames: the types of the vendor's own package, and its strictness."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from tests.emulators.openai_realtime.oracle import Oracle
from tests.emulators.openai_realtime.surface import Event, Surface

APPENDS = ("session.commentary.append", "session.instructions.append", "session.thinking.append")


@cache
def _adapters() -> tuple[TypeAdapter[Any], TypeAdapter[Any], frozenset[str]]:
    from openai.types.live import ClientEvent, ServerEvent
    from openai.types.live.session_config import SessionConfig

    return TypeAdapter(ServerEvent), TypeAdapter(ClientEvent), frozenset(SessionConfig.model_fields)


class LiveOracle(Oracle):
    def server(self, event: Event) -> None:
        self._check(_adapters()[0], "server", event)

    def client(self, event: Event) -> None:
        """The types let unknown fields pass; the service does not."""
        self._check(_adapters()[1], "client", event)
        unknown = set(event.get("session", {})) - _adapters()[2]
        if unknown:
            self.problems.append(f"client {event['type']}: unknown parameters {sorted(unknown)}")
        if event["type"] in APPENDS:
            if "delegation_id" not in event:
                self.problems.append(f"client {event['type']}: delegation_id must be there, if only as null")
            if len(event["content"]) > 2000:
                self.problems.append(f"client {event['type']}: more than 500 tokens")


class LiveSurface(Surface):
    path = "/v1/live/sessions"
    model_in_query = False

    def oracle(self) -> Oracle:
        return LiveOracle()
