"""The judge: every frame in both directions is checked against the types of the vendor's own package."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError


@cache
def _adapters() -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
    from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent

    return TypeAdapter(RealtimeServerEvent), TypeAdapter(RealtimeClientEvent)


class Oracle:
    """Collects what the vendor's types refuse; `problems` must be empty at the end of a test."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.checked = 0

    def server(self, event: dict[str, Any]) -> None:
        self._check(_adapters()[0], "server", event)

    def client(self, event: dict[str, Any]) -> None:
        self._check(_adapters()[1], "client", event)

    def _check(self, adapter: TypeAdapter[Any], side: str, event: dict[str, Any]) -> None:
        self.checked += 1
        try:
            adapter.validate_python(event)
        except ValidationError as error:
            self.problems.append(f"{side} {event.get('type')}: {_relevant(error)}")


def _relevant(error: ValidationError) -> str:
    """What is wrong with the one type that the frame claims to be; the union complains about all of them."""
    problems = error.errors()
    others = {problem["loc"][0] for problem in problems if problem["loc"][1:] == ("type",)}
    own = [problem for problem in problems if problem["loc"][0] not in others]
    return "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in own) or "no such type"
