"""The service in a process of its own: the emulator of the tests."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import uvloop

from bench.child import obey
from tests.emulators.azure_speech import AzureSpeech

WORDS = "I would like two large pizzas please"


async def main() -> None:
    """Serve until stdin ends."""
    async with AsyncExitStack() as stack:

        async def start(_: dict[str, Any]) -> dict[str, Any]:
            service = await stack.enter_async_context(AzureSpeech(heard=[WORDS] * 100_000))
            return {"url": service.url}

        await obey({"start": start})


if __name__ == "__main__":
    uvloop.run(main())
