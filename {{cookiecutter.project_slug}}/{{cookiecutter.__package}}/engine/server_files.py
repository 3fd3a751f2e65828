"""Puts a server beside an exported model: a folder that Python runs, and a Dockerfile."""

import re
from collections.abc import Iterator
from pathlib import Path

from .files import PROJECT, read_toml

RELATIVE = re.compile(r"^from \.+(?:(\w+)\.)?(\w*) import", re.MULTILINE)
PACKAGES = {"fastapi", "httptools", "numpy", "onnxruntime", "pillow", "prometheus-client"}
PACKAGES |= {"uvicorn"}
DOCKERFILE = """\
# docker build -t model . && docker run -p 8000:8000 model
# With --build-arg MODEL=model.int8.onnx it has the smaller file.
FROM python:3.13-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt
ARG MODEL=model.onnx
COPY ${MODEL} model.onnx
COPY server server
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --start-period=30s CMD ["python", "-c", \\
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=5)"]
CMD ["python", "server", "--host", "0.0.0.0"]
"""


def write_server(reference: Path, folder: Path) -> None:
    """Write the server's files into the folder of an export.

    Args:
        reference: reference.py of the task; endpoint.py is beside it, or there is no server.
        folder: where model.onnx is.
    """
    endpoint = reference.with_name("endpoint.py")
    if not endpoint.is_file():
        return
    main = Path(__file__).with_name("model_server.py")
    server = folder / "server"
    server.mkdir()
    for path in [main, endpoint, *imported(main, endpoint)]:
        name = "__main__.py" if path == main else path.name
        (server / name).write_text(flatten(path.read_text("utf-8")), encoding="utf-8")
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / "requirements.txt").write_text("\n".join(requirements()) + "\n", encoding="utf-8")


def imported(*paths: Path) -> Iterator[Path]:
    """The modules of this project that these modules need, each once."""
    seen, waiting = set(paths), list(paths)
    while waiting:
        path = waiting.pop()
        for folder, name in RELATIVE.findall(path.read_text("utf-8")):
            parent = path.parent.parent / folder if folder else path.parent
            module = parent / f"{name}.py"
            if module not in seen:
                seen.add(module)
                waiting.append(module)
                yield module


def flatten(text: str) -> str:
    """The text of a module whose imports find all modules in one folder."""
    return RELATIVE.sub(r"from \2 import", text)


def requirements() -> list[str]:
    """The packages of the server, with the ranges that the project has."""
    project = read_toml(PROJECT / "pyproject.toml")["project"]
    lines = {*project["dependencies"], *project["optional-dependencies"].get("serve", [])}
    return sorted(line for line in lines if line.partition(">=")[0] in PACKAGES)
