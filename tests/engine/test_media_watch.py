"""Metrics and words about media drivers that fail."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from asterisk.media.drivers import FAILURES, Drivers
from engine.health import Readiness, serve_health
from engine.media_watch import MediaWatch
from engine.metrics import Metrics
from engine.settings import HttpSettings


async def fetched(url: str) -> tuple[int, Any, str]:
    async with ClientSession() as http, http.get(f"{url}/readyz") as ready, http.get(f"{url}/metrics") as metrics:
        return ready.status, await ready.json(), await metrics.text()


async def test_what_rests_is_told_and_calls_are_taken_all_the_same() -> None:
    drivers, metrics = Drivers(["websocket", "audiosocket"]), Metrics(CollectorRegistry())
    watch = MediaWatch(drivers, metrics)
    readiness = Readiness(capacity=1, ari_connected=True, flows_loaded=True)
    readiness.warnings = watch.look()
    async with serve_health(HttpSettings(port=0), readiness, metrics) as url:
        status, body, text = await fetched(url)
        assert (status, body) == (200, {"status": "ready", "reasons": [], "calls": 0})
        assert 'hookflash_media_failures_total{driver="websocket"} 0.0' in text
        for _ in range(FAILURES):
            drivers.failed("websocket")
            drivers.opened("audiosocket", ["websocket"])
        drivers.lost("audiosocket", 1.0)
        for _ in range(2):
            readiness.warnings = watch.look()
        status, body, text = await fetched(url)
    assert (status, body["status"], body["warnings"]) == (
        200,
        "ready",
        [f"media driver websocket rests: {FAILURES} legs in a row failed; calls use audiosocket"],
    )
    assert f'hookflash_media_failures_total{{driver="websocket"}} {FAILURES:.1f}' in text
    assert 'hookflash_media_replaced_total{driver="audiosocket"} 1.0' in text
    assert 'hookflash_media_driver_resting{driver="websocket"} 1.0' in text
    assert 'hookflash_media_driver_resting{driver="audiosocket"} 0.0' in text
