"""The engine in a process of its own: the one that `hookflash serve` runs, told over a pipe."""

from __future__ import annotations

import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog
import uvloop
from pydantic import SecretStr

from bench.child import obey
from bench.probe import Probe
from engine.loading import settle
from engine.serve import Engine, running
from engine.settings import AsteriskSettings, DatabaseSettings, HttpSettings, Settings

FLOWS = Path(__file__).parent / "flows"


async def main() -> None:
    """Start when told, answer, and stop when stdin ends."""
    engine: Engine | None = None
    probe: Probe | None = None

    async with AsyncExitStack() as stack:

        async def start(told: dict[str, Any]) -> dict[str, Any]:
            nonlocal engine, probe
            if told["probe"]:
                probe = Probe.install()
                stack.push_async_callback(probe.close)
            engine = await stack.enter_async_context(running(_settings(told)))
            settle()
            return {"media": engine.exchange.media}

        async def live(_: dict[str, Any]) -> dict[str, Any]:
            assert engine is not None
            return {"calls": len(engine.switchboard.calls)}

        async def reset(_: dict[str, Any]) -> dict[str, Any]:
            assert probe is not None
            probe.reset()
            return {}

        async def probed(_: dict[str, Any]) -> dict[str, Any]:
            assert probe is not None
            return probe.found()

        await obey({"start": start, "live": live, "reset": reset, "probed": probed})


def _settings(told: dict[str, Any]) -> Settings:
    return Settings(
        name="bench",
        asterisk=AsteriskSettings(
            url=told["url"], user=told["user"], password=SecretStr(told["password"]), app=told["app"], trunk="phones"
        ),
        flows=(FLOWS,),
        database=DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{told['folder']}/hookflash.db")),
        http=HttpSettings(port=0),
        max_calls=1000,
        voices={"openai": {"api_key": SecretStr("bench"), "base_url": SecretStr(told["provider"])}},
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    uvloop.run(main())
