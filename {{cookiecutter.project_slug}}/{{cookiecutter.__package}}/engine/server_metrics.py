"""What Prometheus is told about the server of a model."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PATHS = {"/", "/predict", "/health", "/ready", "/metrics", "/docs", "/openapi.json"}
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class ServerMetrics:
    """Requests and runs of the model, and what the process needs."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector):
            collector(registry=registry)
        labels, texts = ["path", "status"], ("Requests", "Seconds of a request")
        self.requests = Counter("http_requests", texts[0], labels, registry=registry)
        self.seconds = Histogram(
            "http_request_seconds", texts[1], ["path"], buckets=SECONDS, registry=registry
        )
        self.current = Gauge("http_requests_in_progress", "Requests now", registry=registry)
        self.sizes = Histogram(
            "model_batch_size", "Samples in a run", buckets=SIZES, registry=registry
        )
        self.runs = Histogram(
            "model_run_seconds", "Seconds of a run", buckets=SECONDS, registry=registry
        )

    def observe_run(self, num_samples: int, seconds: float) -> None:
        """Note a run of the model."""
        self.sizes.observe(num_samples)
        self.runs.observe(seconds)

    def observe_request(self, path: str, status: int, seconds: float) -> None:
        """Note a request. Addresses that clients invent count as one, as each needs memory."""
        path = path if path in PATHS else "other"
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    async def answer(self) -> Response:
        """Counts and times of requests, sizes of batches, memory."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class Observed:
    """An application whose requests are counted and timed."""

    def __init__(self, app: App, metrics: ServerMetrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with self.metrics.current.track_inprogress():
            try:
                await self.app(scope, receive, note_status)
            finally:
                seconds = time.perf_counter() - start
                self.metrics.observe_request(scope["path"], status, seconds)
