from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from engine.health import ListenError, Readiness, serve_health
from engine.metrics import Metrics
from engine.settings import HttpSettings

FREE = HttpSettings(port=0)


async def get(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.json()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


async def test_ready_only_when_a_call_can_be_taken(metrics: Metrics) -> None:
    readiness = Readiness(capacity=2)
    async with serve_health(FREE, readiness, metrics) as url:
        assert (await get(f"{url}/livez"))[0] == 200
        status, body = await get(f"{url}/readyz")
        assert (status, body["reasons"]) == (503, ["no connection to Asterisk", "no flows loaded"])
        assert (await get(f"{url}/startupz"))[0] == 503

        readiness.ari_connected = readiness.flows_loaded = True
        assert await get(f"{url}/readyz") == (200, {"status": "ready", "reasons": [], "calls": 0})
        assert (await get(f"{url}/startupz"))[0] == 200

        readiness.active = 2
        assert (await get(f"{url}/readyz"))[1]["reasons"] == ["at capacity: 2 of 2 calls"]
        readiness.active, readiness.draining = 1, True
        status, body = await get(f"{url}/readyz")
        assert (status, body["reasons"]) == (503, ["draining: the engine is stopping"])
        assert (await get(f"{url}/startupz"))[0] == 200
        assert (await get(f"{url}/livez"))[0] == 200


async def test_metrics_are_served_and_read_the_readiness(metrics: Metrics) -> None:
    readiness = Readiness(capacity=7, ari_connected=True)
    metrics.call_started("clinic", "inbound")
    metrics.call_started("clinic", "inbound")
    metrics.call_ended("clinic", "handed_off", 12.0)
    metrics.step("clinic", "say", "done")
    metrics.handoff_attempt("answered", 3500)
    metrics.handoff_attempt("busy", 200)
    metrics.voice("openai").turn_response.observe(0.41)
    async with (
        serve_health(FREE, readiness, metrics) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/metrics") as answer,
    ):
        text = await answer.text()
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
    for line in (
        "hookflash_capacity_calls 7.0",
        "hookflash_ari_connected 1.0",
        "hookflash_draining 0.0",
        'hookflash_calls_active{flow="clinic"} 1.0',
        'hookflash_calls_started_total{direction="inbound",flow="clinic"} 2.0',
        'hookflash_calls_ended_total{flow="clinic",outcome="handed_off"} 1.0',
        'hookflash_call_duration_seconds_bucket{le="15.0"} 1.0',
        'hookflash_flow_steps_total{flow="clinic",outcome="done",verb="say"} 1.0',
        'hookflash_handoff_total{result="busy"} 1.0',
        "hookflash_handoff_answer_seconds_count 1.0",
        'hookflash_turn_response_seconds_bucket{le="0.5",provider="openai"} 1.0',
        'hookflash_build_info{version="',
    ):
        assert line in text, line


async def test_series_of_a_provider_are_looked_up_once(metrics: Metrics) -> None:
    assert metrics.voice("openai") is metrics.voice("openai")


async def test_a_blocked_event_loop_shows(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.metrics.LAG_INTERVAL", 0.01)
    watch = asyncio.create_task(metrics.watch_loop())
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    blocked_until = loop.time() + 0.06
    while loop.time() < blocked_until:
        pass
    async with asyncio.timeout(5):
        while not metrics.registry.get_sample_value("hookflash_event_loop_lag_seconds_count"):  # noqa: ASYNC110
            await asyncio.sleep(0)
    watch.cancel()
    assert (metrics.registry.get_sample_value("hookflash_event_loop_lag_seconds_sum") or 0) >= 0.04


async def test_a_port_in_use_is_said_with_its_setting(metrics: Metrics) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"127.0.0.1 port {port} is in use .*http.port \(HOOKFLASH_HTTP_PORT\)"):
            async with serve_health(HttpSettings(port=port), Readiness(1), metrics):
                pass


async def test_an_address_of_another_machine_is_said_with_its_setting(metrics: Metrics) -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1 .*HOOKFLASH_HTTP_HOST"):
        async with serve_health(HttpSettings(host="192.0.2.1", port=0), Readiness(1), metrics):
            pass


async def test_nothing_listens_after_the_block(metrics: Metrics) -> None:
    before = asyncio.all_tasks()
    async with serve_health(FREE, Readiness(1), metrics) as url:
        pass
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(f"{url}/livez")
    assert asyncio.all_tasks() == before


async def test_further_pages_answer_what_is_so_now(metrics: Metrics) -> None:
    state = {"revision": "a"}
    async with serve_health(FREE, Readiness(1), metrics, {"/flows": lambda: state}) as url:
        assert await get(f"{url}/flows") == (200, {"revision": "a"})
        state["revision"] = "b"
        assert await get(f"{url}/flows") == (200, {"revision": "b"})
