"""The server of an exported model: ``python server --help``. Needs no torch and no project.

POST /predict answers requests. Beside it are /, /docs, /openapi.json, /health, /ready, /metrics.
"""

import argparse
import asyncio
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.requests import ClientDisconnect

from .batching import Batcher
from .onnx_session import OnnxModel
from .server_metrics import Observed, ServerMetrics
from .server_page import make_page
from .serving import JSON_TYPE, Endpoint, Options, Refused, parse_options, read_query

MODEL = Path(__file__).resolve().parent.parent / "model.onnx"
READ_SECONDS = 30.0  # for the body of a request
SHORT = 20_000  # bytes
STOP_SECONDS = 30  # for the requests that are there when the server is stopped
KEEP_ALIVE_SECONDS = 75  # longer than proxies keep their connections
REASONS = {
    400: "The body is damaged, empty or incomplete",
    408: "The body did not come in time",
    413: "The body is too large",
    415: "The body is of another kind",
    422: "The body or the query says something else than what the model needs",
    503: "There are too many requests, try again after the seconds in Retry-After",
}


class ModelServer:
    """Answers the requests of clients with a model; ``app`` is what uvicorn runs."""

    def __init__(self, model: OnnxModel, endpoint: Endpoint, options: argparse.Namespace) -> None:
        self.endpoint, self.options = endpoint, options
        self.metrics = ServerMetrics()
        self.num_requests = 0
        self.is_ready = False
        self.threads = ThreadPoolExecutor(os.cpu_count() or 1, "requests")
        self.batcher = Batcher(
            lambda inputs: model(**inputs),
            endpoint.padding,
            options.max_batch,
            options.max_wait_ms / 1000,
            num_requests=lambda: self.num_requests,
            observe=self.metrics.observe_run,
        )
        self.app = self.make_app(str(model.metadata.get("task", "model")))

    def make_app(self, task: str) -> FastAPI:
        """The addresses, and how they are documented."""
        app = FastAPI(title=f"{task}: server of an exported model", redoc_url=None)
        app.router.lifespan_context = self.run_model
        page = make_page(task, self.endpoint)
        app.add_api_route("/", lambda: HTMLResponse(page), include_in_schema=False)
        app.add_api_route(
            "/predict",
            self.predict,
            methods=["POST"],
            summary="Predict",
            responses=describe_answers(self.endpoint),
            openapi_extra={
                "requestBody": {"required": True, "content": self.endpoint.content},
                "parameters": self.endpoint.parameters,
            },
        )
        for path, function, text in (
            ("/health", self.health, "Whether the process is alive"),
            ("/ready", self.ready, "Whether to send requests to it"),
            ("/metrics", self.metrics.answer, "Metrics for Prometheus"),
        ):
            app.add_api_route(path, function, summary=text)
        app.add_exception_handler(Refused, refuse)
        app.add_exception_handler(Exception, apologize)
        app.add_middleware(Observed, metrics=self.metrics)
        return app

    @asynccontextmanager
    async def run_model(self, _: FastAPI) -> AsyncIterator[None]:
        """Run the model while the server runs. The first request is the documented example."""
        task = asyncio.create_task(self.batcher.run())
        example = json.dumps(self.endpoint.content[JSON_TYPE]["example"]).encode()
        await self.answer(example, JSON_TYPE, read_query(self.endpoint.parameters, []))
        self.is_ready = True
        yield
        self.is_ready = False
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def predict(self, request: Request) -> Response:
        """The answer has a list with a prediction for each sample in the body."""
        if self.is_full:
            raise Refused(503, "There are too many requests at the moment. Try again in a second.")
        self.num_requests += 1
        try:
            query = read_query(self.endpoint.parameters, request.query_params.multi_items())
            body = await read_body(request, int(self.options.max_mb * 1e6))
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            return Response(await self.answer(body, media_type, query), media_type=JSON_TYPE)
        finally:
            self.num_requests -= 1

    async def answer(self, body: bytes, media_type: str, query: Options) -> bytes:
        """The predictions for a body, as JSON."""
        call = self.at_once if self.is_short(body) else self.in_thread
        prepared = await call(self.endpoint.read, body, media_type, query)
        outputs = await self.batcher.predict(prepared.inputs)
        answer: bytes = await call(self.write, outputs, prepared.context)
        return answer

    def is_short(self, body: bytes) -> bool:
        """Whether it takes less time than changing threads does; files take longer than JSON."""
        return len(body) <= SHORT and len(self.endpoint.content) == 1

    def write(self, outputs: Any, context: Any) -> bytes:
        """Predictions as JSON. They are numbers, unless those of the request are beyond all."""
        rows = self.endpoint.rows(outputs, context)
        try:
            return json.dumps({"predictions": rows}, allow_nan=False).encode()
        except ValueError:
            raise Refused(422, "The model finds no number for this: values too large?") from None

    async def at_once(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function."""
        return function(*arguments)

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that takes long, while other requests go on."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, function, *arguments)

    @property
    def is_full(self) -> bool:
        """Whether there are as many requests as there may be at a time."""
        return bool(self.num_requests >= self.options.max_requests)

    async def health(self) -> dict[str, str]:
        """If this does not answer, start the server again."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """503 while the server stops, and while there are too many requests."""
        if self.is_full or not self.is_ready:
            raise Refused(503, "The server is full, or is being stopped.")
        return {"status": "ready"}


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body of a request; ``Refused`` if it is too large, empty, or does not come."""
    too_large = Refused(413, f"The body is too large; the limit is {max_bytes:,} bytes.")
    declared, size, body = int(request.headers.get("content-length", 0)), 0, bytearray()
    if declared > max_bytes and "expect" in request.headers:  # the client asks before it sends
        raise too_large
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size <= max_bytes:  # more is only read because clients send before they listen
                    body += part
    except ClientDisconnect:
        raise Refused(400, "The connection ended before the body was complete.") from None
    except TimeoutError:
        too_late = Refused(408, f"The body did not come within {READ_SECONDS:.0f} seconds.")
        raise (too_large if declared > max_bytes else too_late) from None
    if size > max_bytes:
        raise too_large
    if not body:
        raise Refused(400, "The body is empty.")
    return bytes(body)


def describe_answers(endpoint: Endpoint) -> dict[int | str, dict[str, Any]]:
    """What /predict answers, as OpenAPI writes it."""
    rows = {"type": "array", "items": endpoint.row_schema}
    refusal = {"type": "object", "properties": {"detail": {"type": "string"}}}
    schema = {"type": "object", "properties": {"predictions": rows}}
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": {JSON_TYPE: {"schema": refusal}}}
        for status, text in REASONS.items()
    }
    return {200: {"content": {JSON_TYPE: {"schema": schema}}}, **found}


async def refuse(_: Request, error: Exception) -> Response:
    """The answer to a request that is refused."""
    assert isinstance(error, Refused)
    headers = {"Retry-After": "1"} if error.status == 503 else None
    return JSONResponse({"detail": error.sentence}, error.status, headers)


async def apologize(_: Request, error: Exception) -> Response:
    """The answer where the server has a mistake; its traceback is in the log."""
    return JSONResponse({"detail": f"The server failed ({type(error).__name__})."}, 500)


def listen(host: str, port: int) -> socket.socket:
    """A socket that clients can connect to."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; returns the exit code."""
    options = parse_options(
        "python server",
        argv,
        lambda parser: parser.add_argument("--model", type=Path, default=MODEL, help="the file"),
    )
    if not options.model.is_file():
        print(f"Error: there is no file {options.model}.", file=sys.stderr)
        return 2
    try:
        connection = listen(options.host, options.port)
    except OSError as error:
        place = f"{options.host}, port {options.port}"
        print(
            f"Error: cannot listen on {place} ({error.strerror or error}). Try another --port or "
            "--host.",
            file=sys.stderr,
        )
        return 2
    model = OnnxModel(options.model, options.threads)
    # Of the task, and beside this file only where it was exported.
    endpoint: Endpoint = importlib.import_module("endpoint").Endpoint(model.metadata)
    server = uvicorn.Server(
        uvicorn.Config(
            ModelServer(model, endpoint, options).app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )

    def stop(*_: object) -> None:
        server.should_exit = True

    # After it has stopped in order, uvicorn sends itself the signal again, which would be an error.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    port = connection.getsockname()[1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"Serving {options.model.name} at http://{host}:{port}; Ctrl-C stops it", flush=True)
    server.run(sockets=[connection])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
