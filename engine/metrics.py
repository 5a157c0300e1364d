"""What the engine counts and measures, for Prometheus: one registry of its own, one prefix, base units (seconds).

No label ever holds a call id or a phone number, so the number of series is bounded by the flows and providers that are
installed. Nothing here is called per audio frame.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from engine.version import VERSION

PREFIX: Final = "hookflash"
LAG_INTERVAL: Final = 1.0  # seconds between two samples of the event loop's lag

_TURN = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0)
_CONNECT = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 5.0, 10.0)
_BARGE_IN = (0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5)
_TOOL = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_ANSWER = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 45.0, 60.0)
_CALL = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
_LAG = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


@dataclass(frozen=True, slots=True)
class VoiceMetrics:
    """The series of one provider, looked up once, when its voice is made."""

    turn_response: Histogram  # seconds from the caller's last word to the first audio of the answer
    connect: Histogram  # seconds until the session took audio
    sessions: Gauge


class Metrics:
    """All series of a process. Use the module's `metrics`; a registry of one's own is for tests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._calls(registry)
        self._voices(registry)
        self._engine(registry)
        ProcessCollector(registry=registry)
        self.voice = cache(self._voice)

    def _calls(self, registry: CollectorRegistry) -> None:
        self.calls_active = Gauge(
            "calls_active", "Calls that are live now", ["flow"], namespace=PREFIX, registry=registry
        )
        self.calls_started = Counter(
            "calls_started", "Calls taken", ["flow", "direction"], namespace=PREFIX, registry=registry
        )
        self.calls_resumed = Counter(
            "calls_resumed", "Calls of an engine that died, by how they went on (recover, safety, dialplan, talk, …)",
            ["flow", "way"], namespace=PREFIX, registry=registry,
        )  # fmt: skip
        self.calls_ended = Counter(
            "calls_ended", "Calls over, by how they ended", ["flow", "outcome"], namespace=PREFIX, registry=registry
        )
        self.calls_with_error = Counter(
            "calls_with_error", "Calls over in which something went wrong, whoever dealt with it", ["flow"],
            namespace=PREFIX, registry=registry,
        )  # fmt: skip
        self.calls_refused = Counter(
            "calls_refused",
            "Calls sent back to the dialplan's fallback (reason: capacity, draining, no_route, …)",
            ["reason"],
            namespace=PREFIX,
            registry=registry,
        )
        self.call_duration = Histogram(
            "call_duration_seconds", "From arrival to end", namespace=PREFIX, registry=registry, buckets=_CALL
        )
        self.flow_steps = Counter(
            "flow_steps", "Steps that ended", ["flow", "verb", "outcome"], namespace=PREFIX, registry=registry
        )
        self.handoffs = Counter(
            "handoff",
            "Targets dialled, by how that ended (answered, busy, …)",
            ["result"],
            namespace=PREFIX,
            registry=registry,
        )
        self.handoff_answer = Histogram(
            "handoff_answer_seconds", "Ringing until a target answered", namespace=PREFIX, registry=registry,
            buckets=_ANSWER,
        )  # fmt: skip

    def _voices(self, registry: CollectorRegistry) -> None:
        self.turn_response = Histogram(
            "turn_response_seconds", "From the caller's last word to the first audio of the answer", ["provider"],
            namespace=PREFIX, registry=registry, buckets=_TURN,
        )  # fmt: skip
        self.provider_connect = Histogram(
            "provider_connect_seconds", "Until a provider's session took audio", ["provider"], namespace=PREFIX,
            registry=registry, buckets=_CONNECT,
        )  # fmt: skip
        self.provider_errors = Counter(
            "provider_errors", "Errors of a provider", ["provider", "kind"], namespace=PREFIX, registry=registry
        )
        self.take_overs = Counter(
            "take_overs", "Times another voice went on with a talk", ["from", "to"], namespace=PREFIX, registry=registry
        )
        self.provider_sessions = Gauge(
            "provider_sessions_active", "Open sessions", ["provider"], namespace=PREFIX, registry=registry
        )
        self.barge_in = Counter("barge_in", "Times a caller spoke over the voice", namespace=PREFIX, registry=registry)
        self.barge_in_stop = Histogram(
            "barge_in_stop_seconds", "From the provider's speech event until the playout was flushed",
            namespace=PREFIX, registry=registry, buckets=_BARGE_IN,
        )  # fmt: skip
        self.tool_duration = Histogram(
            "tool_duration_seconds", "Tools that a model called", ["tool", "result"], namespace=PREFIX,
            registry=registry, buckets=_TOOL,
        )  # fmt: skip
        self.tokens = Counter(
            "tokens", "Tokens that a provider counted", ["provider", "type"], namespace=PREFIX, registry=registry
        )
        self.cost = Counter(
            "cost", "What calls cost, by the prices that the engine knows", ["provider", "currency"], namespace=PREFIX,
            registry=registry,
        )  # fmt: skip
        self.cost_unpriced = Counter(
            "cost_unpriced", "Times something was used of which nobody knows the price", ["provider", "model"],
            namespace=PREFIX, registry=registry,
        )  # fmt: skip

    def _engine(self, registry: CollectorRegistry) -> None:
        self.ari_connected = Gauge(
            "ari_connected", "1 while Asterisk's event socket is open", namespace=PREFIX, registry=registry
        )
        self.ari_reconnects = Counter(
            "ari_reconnects", "Times the event socket was opened anew", namespace=PREFIX, registry=registry
        )
        self.media_failures = Counter(
            "media_failures", "Attempts of a driver that brought no media leg up", ["driver"], namespace=PREFIX,
            registry=registry,
        )  # fmt: skip
        self.media_replaced = Counter(
            "media_replaced", "Media legs that were lost in mid-call and replaced", ["driver"], namespace=PREFIX,
            registry=registry,
        )  # fmt: skip
        self.media_resting = Gauge(
            "media_driver_resting", "1 while a driver is tried last because it kept failing", ["driver"],
            namespace=PREFIX, registry=registry,
        )  # fmt: skip
        self.event_loop_lag = Histogram(
            "event_loop_lag_seconds", "How late a timer of the event loop fired", namespace=PREFIX,
            registry=registry, buckets=_LAG,
        )  # fmt: skip
        self.flow_reloads = Counter(
            "flow_reload", "Times the flows were read anew (result: taken, unchanged, refused)", ["result"],
            namespace=PREFIX, registry=registry,
        )  # fmt: skip
        self.flow_roll_backs = Counter(
            "flow_roll_back", "Next versions of flows that were given up (reason: failed, handoff_failed)",
            ["flow", "reason"], namespace=PREFIX, registry=registry,
        )  # fmt: skip
        for result in ("taken", "unchanged", "refused"):
            self.flow_reloads.labels(result)  # an alarm on an increase needs the series to be there before
        self.draining = Gauge(
            "draining", "1 while live calls end and no new one is taken", namespace=PREFIX, registry=registry
        )
        self.capacity = Gauge("capacity_calls", "Calls taken at most", namespace=PREFIX, registry=registry)
        self.records_pending = Gauge(
            "records_pending", "Call records that wait to be stored", namespace=PREFIX, registry=registry
        )
        self.records_failing = Gauge(
            "records_failing", "1 while the database does not take records", namespace=PREFIX, registry=registry
        )
        self.records_dropped = Counter(
            "records_dropped", "Call records given up", ["reason"], namespace=PREFIX, registry=registry
        )
        self.kept_deleted = Counter(
            "kept_deleted", "What was deleted since it had been kept long enough", ["kind"], namespace=PREFIX,
            registry=registry,
        )  # fmt: skip
        self.storage_free = Gauge(
            "storage_free_bytes", "Free space where recordings are kept", namespace=PREFIX, registry=registry
        )
        self.storage_size = Gauge("storage_size_bytes", "All of the space there", namespace=PREFIX, registry=registry)
        Info("build", "The version that runs", namespace=PREFIX, registry=registry).info({"version": VERSION})

    def _voice(self, provider: str) -> VoiceMetrics:
        return VoiceMetrics(
            turn_response=self.turn_response.labels(provider),
            connect=self.provider_connect.labels(provider),
            sessions=self.provider_sessions.labels(provider),
        )

    def call_started(self, flow: str, direction: str) -> None:
        """A call was taken by this flow."""
        self.calls_started.labels(flow, direction).inc()
        self.calls_active.labels(flow).inc()

    def call_resumed(self, flow: str, way: str) -> None:
        """A call of an engine that died goes on."""
        self.calls_resumed.labels(flow, way).inc()
        self.calls_active.labels(flow).inc()

    def call_ended(self, flow: str, outcome: str, seconds: float, *, error: bool = False) -> None:
        """A call that `call_started` or `call_resumed` counted is over after so long; ``error``: its record has one."""
        self.calls_active.labels(flow).dec()
        self.calls_ended.labels(flow, outcome).inc()
        if error:
            self.calls_with_error.labels(flow).inc()
        self.call_duration.observe(seconds)

    def step(self, flow: str, verb: str, outcome: str) -> None:
        """A step ended. ``outcome`` comes from the closed set of the verb."""
        self.flow_steps.labels(flow, verb, outcome).inc()

    def handoff_attempt(self, status: str, ring_ms: int) -> None:
        """A target that was dialled answered or did not, after so long."""
        self.handoffs.labels(status).inc()
        if status == "answered":
            self.handoff_answer.observe(ring_ms / 1000)

    async def watch_loop(self) -> None:
        """Sample the event loop's lag once a second until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            self.event_loop_lag.observe(max(0.0, loop.time() - due))


metrics: Final = Metrics(CollectorRegistry())
