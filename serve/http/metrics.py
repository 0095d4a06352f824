"""Prometheus metrics, served at ``/metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ..schemas import Reply

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "mfp_requests", "HTTP requests", ["method", "route", "status"], registry=self._registry
        )
        self._request_seconds = Histogram(
            "mfp_request_seconds", "time of HTTP requests", ["route"], buckets=SECONDS, registry=self._registry
        )
        self._events = Counter("mfp_events", "acknowledged events", ["kind"], registry=self._registry)
        self._stages = Histogram(
            "mfp_stage_seconds",
            "time of an event's stages",
            ["kind", "stage"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._errors = Counter("mfp_errors", "refused requests and messages", ["error"], registry=self._registry)
        self._counts = {
            "live": Gauge("mfp_sessions_live", "sessions in memory", registry=self._registry),
            "bytes": Gauge("mfp_sessions_bytes", "memory of the sessions there, about", registry=self._registry),
            "stored": Gauge("mfp_sessions_stored", "sessions in the store", registry=self._registry),
            "waiting": Gauge("mfp_waiting", "calls that wait for their turn", registry=self._registry),
            "sockets": Gauge("mfp_sockets", "open WebSockets", registry=self._registry),
        }

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an HTTP request. ``route`` is the route's pattern, so that there are few label values."""
        self._requests.labels(method, route, status).inc()
        self._request_seconds.labels(route).observe(seconds)

    def event(self, kind: str, reply: Reply) -> None:
        """Count an acknowledged event, and record the time of its stages."""
        self._events.labels(kind).inc()
        for stage, milliseconds in reply.timing.items():
            self._stages.labels(kind, stage).observe(milliseconds / 1e3)

    def error(self, name: str) -> None:
        """Count an error response by the kind of error."""
        self._errors.labels(name).inc()

    def text(self, counts: dict[str, int]) -> bytes:
        """Return all metrics in Prometheus' text format."""
        for name, number in counts.items():
            if name in self._counts:
                self._counts[name].set(number)
        return generate_latest(self._registry)
