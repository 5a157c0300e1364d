"""Where Gemini Live is found, and who judges its frames: the vendor's own types, which forbid what they do not know."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from tests.emulators.openai_realtime.oracle import Oracle
from tests.emulators.openai_realtime.surface import Event, Surface

PATH = "/ws/google.ai.generativelanguage.{version:v1|v1beta}.GenerativeService.BidiGenerateContent"


@cache
def _types() -> Any:
    from google.genai import types

    return types


class GeminiOracle(Oracle):
    def server(self, event: Event) -> None:
        self._validate("server", _types().LiveServerMessage, event)

    def client(self, event: Event) -> None:
        types = _types()
        setup = dict(event.get("setup") or {})
        turns = setup.pop("realtimeInputConfig", None)  # the client library writes it, its type of setup lacks it
        if turns is not None:
            self._validate("client", types.RealtimeInputConfig, turns)
            event = {"setup": setup}
        self._validate("client", types.LiveClientMessage, event)

    def _validate(self, side: str, kind: type[BaseModel], event: Event) -> None:
        self.checked += 1
        try:
            kind.model_validate(event)
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            self.problems.append(f"{side} {next(iter(event), '')}: {told}")


class GeminiSurface(Surface):
    path = PATH
    model_in_query = False

    def __init__(self) -> None:
        super().__init__(header="x-goog-api-key")

    def oracle(self) -> Oracle:
        return GeminiOracle()
