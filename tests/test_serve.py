"""serve: an exported model behind HTTP says what predict says, and refuses what makes no sense."""

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Exported
from test_predict import FLAGS, PACKAGE, call

from benchmarks.serving import Server as LoadedServer
from benchmarks.serving import malformed

pytest.importorskip("onnxruntime")
pytest.importorskip("fastapi")

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Server:
    project: Path
    process: subprocess.Popen[str]
    port: int

    def send(
        self, method: str, path: str, body: bytes | str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """The status, and what the JSON of the answer says."""
        status, _, answer = self.send_whole(method, path, body, headers)
        return status, json.loads(answer)

    def send_whole(
        self, method: str, path: str, body: bytes | str | None, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def predict(self, body: bytes | Any, query: str = "") -> tuple[int, Any]:
        """For the bytes of a file, or a value that becomes JSON."""
        if isinstance(body, bytes):
            return self.send("POST", f"/predict{query}", body)
        return self.send("POST", f"/predict{query}", json.dumps(body), **JSON)

    def metric(self, name: str) -> float:
        text = self.send_whole("GET", "/metrics", None, {})[2].decode()
        return sum(map(float, re.findall(rf"^{re.escape(name)}\S* (\S+)", text, re.MULTILINE)))


@contextmanager
def served(project: Path, *command: str, cwd: Path | None = None) -> Iterator[Server]:
    """A server that is stopped in the end, which must succeed."""
    with subprocess.Popen(
        [sys.executable, *command, "--port", "0"],
        cwd=cwd or project,
        text=True,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"Serving .* at http://127\.0\.0\.1:(\d+);", line)
            assert found is not None, line
            server = Server(project, process, int(found[1]))
            assert server.send("GET", "/ready") == (200, {"status": "ready"})
            if sys.platform == "linux":  # which shows the libraries of a process
                libraries = Path(f"/proc/{process.pid}/maps").read_text("utf-8")
                assert "onnxruntime" in libraries and "libtorch" not in libraries
            yield server
            process.terminate()
            assert process.wait(60) == (0 if sys.platform != "win32" else 1)
        finally:
            process.kill()


@pytest.fixture(scope="module", params=FLAGS)
def server(request: pytest.FixtureRequest, exported: Exported) -> Iterator[Server]:
    project, _ = exported(request.param)
    with served(project, "-m", PACKAGE, "serve", "own") as server:
        yield server


@pytest.fixture(scope="module")
def table(exported: Exported) -> Path:
    return exported("tabular_regression")[0]


def samples_of(server: Server) -> tuple[list[Any], list[dict[str, Any]]]:
    """Bodies with a sample each, and what predict says of them."""
    lines = (server.project / "own.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    if "file" in rows[0]:
        return [Path(server.project, row["file"]).read_bytes() for row in rows], rows
    cells = (server.project / "val.csv").read_text("utf-8").splitlines()
    import csv

    table = list(csv.DictReader(cells))
    if "text" in rows[0]:
        return [{"texts": [row["text"]]} for row in table], rows
    given = [{"size": float(row["size"]), "side": row["side"]} for row in table]
    return [{"rows": [row]} for row in given], rows


def same(answer: Any, row: Any) -> bool:
    """Whether an answer is what predict says; images are scaled by other code, in the graph."""
    if "class" in row:
        return bool(abs(answer["probabilities"][row["class"]] - row["probability"]) < 0.01)
    if "objects" in row:
        assert answer["objects"]
        return all(
            any(
                abs(found["score"] - known["score"]) < 0.01
                and max(abs(a - b) for a, b in zip(found["box"], known["box"], strict=True)) < 1
                for known in row["objects"]
            )
            for found in answer["objects"][:3]
        )
    if "shares" in row:
        names = answer["shares"].keys() | row["shares"].keys()
        shares = [(answer["shares"].get(n, 0), row["shares"].get(n, 0)) for n in names]
        sizes = [mask["size"] for mask in answer["masks"]]
        return sizes == [m["size"] for m in row["masks"]] and all(
            abs(a - b) < 0.05 for a, b in shares
        )
    return bool(abs(answer["price"] - row["price"]) <= 1e-4 * abs(row["price"]))


def test_concurrent_requests_get_what_predict_says(server: Server) -> None:
    bodies, rows = samples_of(server)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda body: server.predict(body), bodies * 2))
    query = "?min_score=0" if "objects" in rows[0] else ""
    answers = [server.predict(body, query) for body in bodies] if query else answers
    for (status, answer), row in zip(answers, rows * (1 if query else 2), strict=True):
        assert status == 200, answer
        assert len(answer["predictions"]) == 1
        assert same(answer["predictions"][0], row), (answer, row)


def test_the_documented_example_works(server: Server) -> None:
    _, described = server.send("GET", "/openapi.json")
    content = described["paths"]["/predict"]["post"]["requestBody"]["content"]
    status, answer = server.predict(content["application/json"]["example"])
    assert status == 200 and answer["predictions"]
    page = server.send_whole("GET", "/", None, {})[2].decode()
    assert "curl" in page and "http" not in page.replace("http://localhost:8000/predict", "")


def test_malformed_requests_are_refused_with_a_sentence(server: Server) -> None:
    _, described = server.send("GET", "/openapi.json")
    content = described["paths"]["/predict"]["post"]["requestBody"]["content"]
    good = content["application/json"]["example"]
    sender = LoadedServer(server.port, json.dumps(good).encode())
    statuses = {number: sender.exchange(malformed(sender, number))[0] for number in range(96)}
    assert not {number for number, status in statuses.items() if status >= 500}
    assert sum(status >= 400 for status in statuses.values()) > 48
    for body, sentence in (
        (b"", "empty"),
        ({"other": []}, "body"),
        ({key: [] if isinstance(value, list) else "" for key, value in good.items()}, ""),
        ({key: [[]] if isinstance(value, list) else 1 for key, value in good.items()}, ""),
    ):
        status, answer = server.predict(body)
        assert status in (400, 422) and sentence in answer["detail"]
    assert server.predict(good, "?colour=1")[0] == 422
    assert server.send("GET", "/predict")[0] == 405 and server.send("GET", "/other")[0] == 404
    assert server.predict(good)[0] == 200


def test_what_is_wrong_with_rows_is_named(exported: Exported) -> None:
    project, _ = exported("tabular_regression")
    with served(project, "-m", PACKAGE, "serve", "own") as server:
        for row, words in (
            ({"size": 1}, ["no 'side'", "null"]),
            ({"size": 1, "side": "N", "colour": "red"}, ["'colour'", "not know"]),
            ({"size": "1", "side": "N"}, ["'size'", "number"]),
            ({"size": True, "side": 3}, ["'size'", "number", "'side'", "text"]),
            ({"size": 10**400, "side": None}, ["'size'", "number"]),
        ):
            status, answer = server.predict({"rows": [{"size": 2, "side": "N"}, row]})
            assert status == 422 and all(word in answer["detail"] for word in words), answer
            assert "rows[1]" in answer["detail"] and "rows[0]" not in answer["detail"]
        both = {"rows": [{"size": None, "side": None}, {"size": 2, "side": "Mars", "price": 3}]}
        status, answer = server.predict(both)
        assert status == 200 and [row.get("unknown") for row in answer["predictions"]] == [
            None,
            ["side"],
        ]
        status, answer = server.predict({"rows": [{"size": 1e308, "side": "N"}]})
        assert status == 422 or abs(answer["predictions"][0]["price"]) < 1e300
        assert server.predict({"rows": [{"size": 2, "side": "N"}] * 1001})[0] == 422


def test_too_large_and_too_many_requests_are_refused(table: Path) -> None:
    flags = ["--max-requests", "1", "--max-mb", "0.01"]
    with served(table, "-m", PACKAGE, "serve", "own", *flags) as server:
        status, answer = server.predict(b"x" * 20_000)
        assert status == 413 and "10,000 bytes" in answer["detail"]
        first = open_request(server, size=100)
        status, headers, _ = server.send_whole("POST", "/predict", "{}", JSON)
        assert status == 503 and headers["Retry-After"] == "1"
        assert server.send("GET", "/ready")[0] == 503
        assert server.send("GET", "/health")[0] == 200
        first.close()
        wait_until(lambda: server.send("GET", "/ready")[0] == 200)
        body = {"rows": [{"size": 2, "side": "N"}]}
        assert server.predict(body)[0] == 200
        assert server.metric('http_requests_total{path="/predict",status="503"}') == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_finishes_its_requests(table: Path, number: int) -> None:
    body = json.dumps({"rows": [{"size": 2, "side": "N"}]}).encode()
    with served(table, "-m", PACKAGE, "serve", "own") as server:
        connection = open_request(server, len(body))
        connection.sendall(body[:5])
        time.sleep(0.3)
        server.process.send_signal(number)
        time.sleep(0.5)
        with pytest.raises(ConnectionError):
            server.send("GET", "/health")
        connection.sendall(body[5:])
        assert connection.recv(2**16).startswith(b"HTTP/1.1 200")
        assert server.process.wait(30) == 0


def open_request(server: Server, size: int) -> socket.socket:
    """A request whose body is still to come."""
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
    wait_until(lambda: server.metric("http_requests_in_progress") >= 2)
    return connection


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_wrong_requests_of_the_command_end_with_a_sentence(table: Path, tmp_path: Path) -> None:
    def refused(*arguments: str, program: str = "") -> str:
        start = f"import sys; {program}from {PACKAGE}.cli.main import main; "
        done = call(table, "-c", start + "sys.exit(main(sys.argv[1:]))", "serve", *arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        return done.stderr

    assert "--quantize int8" in refused("own", "--quantized")
    assert "--extra serve" in refused("own", program="sys.modules['uvicorn'] = None; ")
    assert "--max-batch" in refused("own", "--max-batch", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "another --port" in refused("own", "--port", str(taken.getsockname()[1]))
    shutil.copytree(table / "runs" / "own", tmp_path / "bare", ignore=lambda *_: ["export"])
    assert "serve" not in refused(str(tmp_path / "bare")).replace("server", "")
    assert "export" in refused(str(tmp_path / "bare"))


@pytest.mark.parametrize("task", ["image_classification"])
def test_the_folder_of_the_export_is_all_that_an_image_of_it_needs(
    exported: Exported, task: str, tmp_path: Path
) -> None:
    project, _ = exported(task)
    dockerfile = (project / "runs" / "own" / "export" / "Dockerfile").read_text("utf-8")
    source = project / "runs" / "own" / "export"
    for model in ("model.onnx", "model.int8.onnx"):
        folder = tmp_path / model / "app"
        folder.mkdir(parents=True)
        for names in re.findall(
            r"^COPY (.+)$", dockerfile.replace("${MODEL}", model), re.MULTILINE
        ):
            origin, target = names.split()
            copy = shutil.copytree if (source / origin).is_dir() else shutil.copy
            copy(source / origin, folder / target)
        with served(project, "-I", "server", cwd=folder) as server:
            bodies, rows = samples_of(server)
            status, answer = server.predict(bodies[0], "?top=1")
            assert status == 200 and len(answer["predictions"][0]["probabilities"]) == 1
            assert model != "model.onnx" or same(
                server.predict(bodies[0])[1]["predictions"][0], rows[0]
            )
    (user,) = re.findall(r"^USER (\d+)", dockerfile, re.MULTILINE)
    assert int(user) > 0
    wanted = (folder / "requirements.txt").read_text("utf-8").split()
    extras = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(wanted) - {"numpy>=2.4,<3", "pillow>=13.0,<14"} == set(
        extras["optional-dependencies"]["serve"]
    )
    checked = [path for path in (folder / "server").glob("*.py") if "torch" in imports(path)]
    assert not checked


def imports(path: Path) -> set[str]:
    return set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text("utf-8"), re.MULTILINE))


def test_hadolint_has_nothing_to_say(exported: Exported) -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint is not installed")
    project, _ = exported("tabular_regression")
    file = project / "runs" / "own" / "export" / "Dockerfile"
    done = subprocess.run([linter, str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# In the folder of a server: the model is slow and counts how much it gets at a time.
BATCHES = """
import asyncio, threading
import numpy as np
from batching import Batcher

async def main():
    sizes, gate = [], threading.Event()

    def model(inputs):
        gate.wait(20)
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        sizes.append(inputs["x"].shape)
        return {"y": inputs["x"].sum(axis=1)}

    waiting = 9
    batcher = Batcher(model, 0, 4, 0.05, lambda: waiting, lambda *_: None)
    task = asyncio.create_task(batcher.run())
    ones = [np.ones((1, length)) for length in (1, 2, 3, 4, 5, 6, 7, 8)]
    jobs = [asyncio.create_task(batcher.predict({"x": x})) for x in ones]
    await asyncio.sleep(0.2)
    gate.set()
    answers = [(await job)["y"].tolist() for job in jobs]
    assert answers == [[float(n)] for n in range(1, 9)], answers
    assert sizes == [(4, 4), (4, 8)], sizes

    sizes.clear()
    large = await batcher.predict({"x": np.ones((10, 3))})
    assert large["y"].tolist() == [3.0] * 10
    assert [shape[0] for shape in sizes] == [4, 4, 2]

    mixed = [np.ones((1, 2)), -np.ones((1, 2)), np.ones((1, 2))]
    found = await asyncio.gather(
        *(batcher.predict({"x": x}) for x in mixed), return_exceptions=True
    )
    assert [type(each).__name__ for each in found] == ["dict", "ValueError", "dict"]

    start = asyncio.get_running_loop().time()
    waiting = 1
    batcher.max_wait = 20
    await batcher.predict({"x": np.ones((1, 1))})
    assert asyncio.get_running_loop().time() - start < 5  # nobody is on the way
    task.cancel()

asyncio.run(main())
"""


def test_concurrent_requests_share_runs_of_the_model(table: Path) -> None:
    done = call(table / "runs" / "own" / "export" / "server", "-c", BATCHES)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("task", ["image_classification"])
def test_images_that_would_take_all_memory_are_refused(exported: Exported, task: str) -> None:
    project, _ = exported(task)
    with served(project, "-m", PACKAGE, "serve", "own") as server:
        assert server.predict(b"P5 99999 99999 255\n")[0] == 413
        assert server.predict(b"P5 5 30000 255\n")[0] == 413
        status, answer = server.predict(b"P5 5 5 65535\n" + bytes(50))
        assert status == 200 or "8 bits" in answer["detail"]
        status, answer = server.send(
            "POST", "/predict", "x", **{"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert status == 415 and "--data-binary" in answer["detail"]
