"""`make test` and `make demo` set the environment up once, from an index that answers."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TEMPLATE

from tools import install


@pytest.fixture
def pip_calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What pip is asked for, in place of a real pip and a real environment."""
    calls: list[list[str]] = []

    def record(*arguments: str) -> bool:
        calls.append(list(arguments))
        return True

    monkeypatch.setattr(install, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(install, "MARK", tmp_path / "installed.txt")
    monkeypatch.setattr(install, "make_environment", lambda: None)
    monkeypatch.setattr(install, "pip_install", record)
    return calls


@pytest.fixture
def index() -> Iterator[str]:
    """An index of torch builds that answers."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/whl/cpu/torch/" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/whl/cpu"
    server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_torch_comes_from_the_index_that_fits(
    pip_calls: list[list[str]], index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "torch_index", lambda: index)

    assert install.main() == 0

    torch, rest = pip_calls
    assert torch[:2] == ["--index-url", index]
    assert torch[-2:] == ["torch==2.14.1", "torchvision==0.29.1"]
    assert "--index-url" not in rest and "torch==2.14.1" in rest and "tyro>=1.0,<2" in rest


def test_the_newest_packages_are_asked_for_without_upper_bounds(
    pip_calls: list[list[str]], index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "torch_index", lambda: index)

    assert install.main(is_newest=True) == 0

    torch, rest = pip_calls
    assert torch[-2:] == ["torch>=2.14", "torchvision>=0.29"]
    assert rest[0] == "--upgrade" and {"torch>=2.14", "tyro>=1.0"} < set(rest)
    assert not [argument for argument in rest if "<" in argument or "==" in argument]


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/whl/cpu", "http://host.invalid/whl/cpu", None]
)
def test_torch_comes_from_the_registry_where_no_index_answers(
    pip_calls: list[list[str]], address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "torch_index", lambda: address)

    assert install.main() == 0

    assert len(pip_calls) == 1 and "--index-url" not in pip_calls[0]


def test_an_index_that_hangs_costs_only_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "PROBE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.perf_counter()

        assert not install.is_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/")

        assert time.perf_counter() - start < 2


def test_a_second_call_installs_nothing(
    pip_calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "torch_index", lambda: None)

    assert install.main() == install.main() == 0

    assert len(pip_calls) == 1


def test_an_installation_that_failed_is_not_taken_for_done(
    pip_calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "torch_index", lambda: None)
    monkeypatch.setattr(install, "pip_install", lambda *_: False)
    assert install.main() == 1

    monkeypatch.setattr(install, "pip_install", lambda *_: True)
    assert install.main() == 0
    assert install.MARK.is_file()


def test_the_index_is_what_the_project_itself_would_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_BACKEND", "cu126")

    assert str(install.torch_index()).endswith("/whl/cu126")


def test_every_requirement_of_every_project_is_installed() -> None:
    wanted = install.requirements()

    for path in (TEMPLATE / "templates").glob("*/dependencies.txt"):
        for line in json.loads(f"[{path.read_text('utf-8').strip().rstrip(',')}]"):
            assert line in wanted
    own = {"cookiecutter>=2.7,<3", "cruft>=2.16,<3"}
    assert {"torch==2.14.1", "torchvision==0.29.1"} | own <= set(wanted)
