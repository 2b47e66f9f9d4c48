"""What is told of requests: a line in the log, and metrics for Prometheus."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("two_tower.http")

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of one server."""

    def __init__(self, pool: Callable[[], dict[str, int]]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "two_tower_http_requests", "Requests by route and status.",
            ("route", "method", "status"), registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "two_tower_http_request_seconds", "Seconds until the answer was sent, by route.",
            ("route",), buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.release_id: int | None = None
        self.registry.register(_State(self, pool))


class _State(Collector):
    """What is so at the moment."""

    def __init__(self, metrics: Metrics, pool: Callable[[], dict[str, int]]) -> None:
        self._metrics = metrics
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        stats = self._pool()
        for name, stat, text in (
            ("connections", "pool_size", "Open connections to Postgres."),
            ("connections_free", "pool_available", "Connections that no request holds."),
            ("requests_waiting", "requests_waiting", "Requests that wait for a connection."),
        ):
            yield GaugeMetricFamily(f"two_tower_http_{name}", text, stats.get(stat, 0))
        if self._metrics.release_id is not None:
            yield GaugeMetricFamily(
                "two_tower_http_release", "The release that serves.", self._metrics.release_id
            )


class Observer:
    """Counts and logs requests by their route: neither ids nor keys, which are in the query."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            self._tell(scope, status, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = _route(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"
        caller = scope.get("state", {}).get("caller")
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        told = {
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
            "tier": caller.tier if caller else "unknown",
        }
        logger.info("%s %s %s %.1f ms, %s", *told.values(), extra=told)


def _route(scope: Scope) -> str:
    """Return the path of the route; ``other`` where there is none: a path is anybody's text."""
    route = scope.get("route")
    if route is None:  # it was refused on its way
        routes = scope["app"].routes
        route = next((r for r in routes if r.matches(scope)[0] is not Match.NONE), None)
    return getattr(route, "path", "other")
