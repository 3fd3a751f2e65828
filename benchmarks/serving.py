"""Loads the server of an exported model: requests per second, malformed requests, and its memory.

    python -m benchmarks.serving
    python -m benchmarks.serving --tasks tabular_regression --seconds 20

Let nothing else run meanwhile. A run with all tasks writes benchmarks/results/serving.md.
"""

import argparse
import asyncio
import base64
import datetime
import itertools
import json
import os
import platform
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .projects import TEMPLATE, render

TASKS = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["task"]
RESULTS = TEMPLATE / "benchmarks" / "results" / "serving.md"
PACKAGE = "my_torch_project"
JSON = "application/json"
NUM_MALFORMED = 1000
CLIENTS = (1, 16)
# In the folder of the server: how often a loop alone runs the session, and answers bodies.
LOOPS = """
import json, sys, time
sys.path.insert(0, "server")
from endpoint import Endpoint
from onnx_session import OnnxModel
from serving import read_query
model = OnnxModel("model.onnx")
endpoint = Endpoint(model.metadata)
query = read_query(endpoint.parameters, [])
body = json.dumps(endpoint.content["application/json"]["example"]).encode()

def whole():
    prepared = endpoint.read(body, "application/json", query)
    return json.dumps(endpoint.rows(model(**prepared.inputs), prepared.context))

inputs = endpoint.read(body, "application/json", query).inputs
for function in (lambda: model(**inputs), whole):
    function()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < float(sys.argv[1]):
        function()
        count += 1
    print(count / (time.perf_counter() - start))
"""


@dataclass(frozen=True)
class Server:
    """A server that runs, and a request that it answers."""

    port: int
    body: bytes

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """The status and the body of an answer."""
        method = "GET" if body is None else "POST"
        status, answer = self.exchange(request(method, path, JSON, body or b""))
        return status, answer

    def exchange(self, raw: bytes) -> tuple[int, bytes]:
        """Send bytes on a new connection; the status, 0 if there is no answer, and the body."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), 60) as connection:
            try:
                connection.sendall(raw)
                while part := connection.recv(2**16):
                    answer += part
            except ConnectionError:  # it may refuse a body before it has come
                pass
        head, _, body = answer.partition(b"\r\n\r\n")
        return int((head.split(None, 2) or [b"", b"0"])[1]), body

    def memory_mib(self) -> float:
        """What the process has in memory."""
        found = re.search(rb"^process_resident_memory_bytes (\S+)", self.ask("/metrics")[1], re.M)
        assert found is not None
        return float(found[1]) / 2**20


def request(method: str, path: str, media_type: str, body: bytes, close: bool = True) -> bytes:
    """A request as bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n"
    head += f"Content-Length: {len(body)}\r\n" + ("Connection: close\r\n" if close else "")
    return head.encode("latin-1") + b"\r\n" + body


@contextmanager
def serving(project: Path, *flags: str) -> Iterator[Server]:
    """The server of the run "own" of a project, with the example of its own documentation."""
    command = [sys.executable, "-m", PACKAGE, "serve", "own", "--port", "0", *flags]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL  # it warns of requests that are no HTTP
    with subprocess.Popen(command, cwd=project, text=True, stdout=pipe, stderr=nothing) as process:
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+);", process.stdout.readline())
            assert found is not None
            port = int(found[1])
            while True:
                with socket.socket() as connection:
                    if not connection.connect_ex(("127.0.0.1", port)):
                        break
                time.sleep(0.1)
            described = json.loads(Server(port, b"").ask("/openapi.json")[1])
            post = described["paths"]["/predict"]["post"]
            body = json.dumps(post["requestBody"]["content"][JSON]["example"]).encode()
            yield Server(port, body)
        finally:
            process.terminate()


def malformed(server: Server, number: int) -> bytes:
    """A request with something wrong, always the same one for a number."""
    chance, good = random.Random(number), server.body
    picture = json.loads(good).get("image")
    file = base64.b64decode(picture) if picture else good
    media_type = "image/png" if picture else JSON
    place = chance.randrange(1, len(file))
    cell = chance.choice(CELLS)
    bodies = [
        file[:place],
        file[:place] + chance.randbytes(4) + file[place + 4 :],
        chance.randbytes(chance.randrange(1, 2000)),
        chance.choice(BODIES),
    ]
    broken = re.sub(rb"(?<=[:\[] )[^][{}]+?(?=[,}\]])", lambda _: cell, good)
    several = [
        request("POST", "/predict", media_type, bodies[number % 4]),
        request("POST", "/predict", JSON, bodies[number % 4]),
        request("POST", "/predict", JSON, broken),
        request("POST", "/predict", JSON, good.replace(b'"', b'"\\ud800', 2)),
        request("POST", "/predict", JSON, good.replace(b"[", b"[" + 1000 * b"0,")),
        request("POST", f"/predict?{chance.choice(QUERIES)}", JSON, good),
        request("POST", "/predict", chance.choice(TYPES), bodies[number % 4]),
        request(chance.choice(["PUT", "DELETE", "GET", "\0"]), "/predict", JSON, good),
        request("POST", chance.choice(["/x", "/predict/%00", "//", "*"]), JSON, good),
        request("POST", "/predict", JSON, good).replace(b"Content-Length: ", b"Content-Length: -"),
        b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + good,
        chance.randbytes(200) + b"\r\n\r\n",
    ]
    return several[number // 4 % len(several)]


BODIES = [
    *(b"", b"null", b"[]", b"{}", b"NaN", b"1e400", b'"', b"\xff\xfe", b"[" * 100_000),
    *(b'{"rows": []}', b'{"rows": [[]]}', b'{"rows": [{}]}', b'{"rows": {"0": 1}}'),
    *(b'{"texts": ""}', b'{"texts": []}', b'{"texts": [1, null]}', b'{"texts": [["a"]]}'),
    *(b'{"image": ""}', b'{"image": 1}', b'{"image": "%%%"}', b'{"image": "QUJD"}'),
    *(b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", b"GIF89a\xff\xff\xff\xff\0\0\0", b"P6 1 1 255\n"),
    *(b"P5 99999 99999 255\n", b"P5 1 0 255\n", b"BM" + bytes(60), b"\xff\xd8\xff", b"II*\0" * 9),
    b"[" + b"1," * 5_000_000 + b"1]",
]
CELLS = [
    *(b"NaN", b"-Infinity", b"1e400", b"9" * 400, b"9" * 5000, b"-1e308", b"true", b"null"),
    *(b"{}", b"[]", b'""', b'"1,5"', b'"\\u0000"', b'"\\ud800"', b"[" * 2000, b"0x1", b"01"),
]
QUERIES = ["top=0", "top=1e9", "top=nan", "top=%ff", "top", "min_score=-1", "min_score=inf", "x=1"]
TYPES = ["multipart/form-data", "multipart/form-data; boundary=x", "text/plain", "", "\xff", "/"]


async def load(server: Server, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Requests per second of clients that each wait for their answer, and the sorted times."""
    raw, times = request("POST", "/predict", JSON, server.body, close=False), list[float]()
    end = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while (start := time.perf_counter()) < end:
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: (\d+)", head)
            assert found is not None and head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(int(found[1]))
            times.append(time.perf_counter() - start)
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(times) / (time.perf_counter() - start), sorted(times)


def measure(project: Path, seconds: float) -> dict[str, str]:
    """The row of a task."""
    command = [sys.executable, "-c", LOOPS, str(seconds)]
    folder = project / "runs" / "own" / "export"
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    session, whole = map(float, done.stdout.split())
    row = {"session in a loop": f"{session:,.0f}", "with reading and answer": f"{whole:,.0f}"}
    with serving(project) as server:
        for clients in CLIENTS:
            rate, times = asyncio.run(load(server, clients, seconds))
            row[f"server, {clients} client{'s' * (clients > 1)}"] = f"{rate:,.0f}"
        row["median, 99 % (ms)"] = ", ".join(
            f"{1000 * times[int(share * len(times))]:.1f}" for share in (0.5, 0.99)
        )
        memory = [server.memory_mib()]
        statuses = Counter(server.exchange(malformed(server, n))[0] for n in range(NUM_MALFORMED))
        memory.append(server.memory_mib())
        asyncio.run(load(server, CLIENTS[-1], seconds))
        memory.append(server.memory_mib())
    groups = itertools.groupby(sorted(statuses.items()), lambda item: item[0] // 100)
    counted = {status: sum(count for _, count in items) for status, items in groups}
    row["malformed: 2xx, 4xx, 5xx"] = ", ".join(str(counted.get(n, 0)) for n in (2, 4, 5))
    row["MiB: loaded, malformed, loaded again"] = ", ".join(f"{size:.0f}" for size in memory)
    print(dict(sorted(statuses.items())), flush=True)
    return row


def make_project(task: str, folder: Path) -> Path:
    """A project with a small run that was exported."""
    project = render(folder, task)
    for arguments in (
        ["train.py", "--run", "own", "--epochs", "1", "--no-report", "--device", "cpu"],
        ["-m", PACKAGE, "export", "own"],
    ):
        subprocess.run([sys.executable, *arguments], cwd=project, check=True, capture_output=True)
    return project


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    arguments = parser.parse_args()
    rows, busy = {}, os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        for task in arguments.tasks:
            rows[task] = measure(make_project(task, Path(folder)), arguments.seconds)
            print(task, rows[task], flush=True)
    names = list(next(iter(rows.values())))
    table = [f"| task | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    table += [f"| {task} | {' | '.join(row.values())} |" for task, row in rows.items()]
    text = INTRODUCTION.format(
        date=datetime.date.today(),
        system=platform.platform(),
        cores=os.cpu_count(),
        busy=f"{busy:.1f}",
    )
    print("\n".join(table))
    if arguments.tasks == TASKS:
        RESULTS.write_text(text + "\n".join(table) + "\n", encoding="utf-8")


INTRODUCTION = """\
# The server of an exported model

`python -m benchmarks.serving` on {date}: {system}, {cores} cores, which the server shares with its
clients; {busy} processes of other programs ran when it began. Each task's default model after one
epoch; the request is the example of the server's own documentation, one sample each. Numbers are
requests per second. In a loop, the session gets the same arrays again and again; "with reading and
answer" adds what the server does with a body, but for HTTP. Some of the {malformed:,} malformed
requests are read after all: not every flipped bit matters.

""".replace("{malformed:,}", f"{NUM_MALFORMED:,}")


if __name__ == "__main__":
    main()
