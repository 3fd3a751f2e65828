"""A package index on this machine's own address, with empty wheels of the builds of torch."""

import base64
import hashlib
import http.server
import io
import re
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

LINUX = ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64")
DESKTOPS = ("win_amd64", "macosx_14_0_arm64")
CUDA = ("cu126", "cu130", "cu132")

# A build backend of twenty lines in place of hatchling's: a wheel that holds the metadata only.
BACKEND = """
import pathlib, tomllib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text("utf-8"))["project"]
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    lines = [f"Name: {project['name']}", f"Version: {project['version']}"]
    lines += [f"Requires-Dist: {need}" for need in project["dependencies"]]
    lines.append(f"Requires-Python: {project['requires-python']}")
    with zipfile.ZipFile(pathlib.Path(folder) / f"{stem}-py3-none-any.whl", "w") as wheel:
        info = f"{stem}.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\n" + "\\n".join(lines) + "\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n")
    return f"{stem}-py3-none-any.whl"

build_editable = build_wheel
"""


class Index:
    """The wheels by folder (``simple`` is the registry, ``whl/cpu`` torch's index) and name."""

    def __init__(self) -> None:
        self.wheels: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.strangers: list[str] = []
        """Hosts that were asked for through the proxy, and are not here."""

    def add(
        self,
        folder: str,
        name: str,
        version: str,
        platform: str = "any",
        needs: Iterable[str] = (),
        python: str = ">=3.10",
        files: dict[str, str] | None = None,
    ) -> None:
        """Put a wheel there."""
        stem = f"{name.replace('-', '_')}-{version}"
        metadata = [f"Name: {name}", f"Version: {version}", f"Requires-Python: {python}"]
        metadata += [f"Requires-Dist: {need}" for need in needs]
        contents = dict(files or {})
        contents[f"{stem}.dist-info/METADATA"] = "\n".join(["Metadata-Version: 2.1", *metadata, ""])
        tag = f"py3-none-{platform}"
        contents[f"{stem}.dist-info/WHEEL"] = f"Wheel-Version: 1.0\nTag: {tag}\n"
        key = f"{folder}/{re.sub('[-_.]+', '-', name).lower()}/"
        self.wheels.setdefault(key, {})[f"{stem}-{tag}.whl"] = packed(contents, stem)

    def page(self, path: str) -> bytes | None:
        """What stands at an address: a list of links, or a wheel."""
        folder, _, name = path.lstrip("/").rpartition("/")
        names = self.wheels.get(f"{folder}/")
        if names is None or name:
            return (names or {}).get(name)
        links = (
            f'<a href="{name.replace("+", "%2B")}#sha256={hashlib.sha256(wheel).hexdigest()}">'
            f"{name}</a><br>"
            for name, wheel in names.items()
        )
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


def packed(contents: dict[str, str], stem: str) -> bytes:
    """The files as a wheel, with the list of them that pip wants."""
    rows = []
    for name, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        rows.append(f"{name},sha256={digest.decode()},{len(text.encode())}")
    record = f"{stem}.dist-info/RECORD"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        for name, text in (contents | {record: "\n".join([*rows, f"{record},,", ""])}).items():
            wheel.writestr(name, text)
    return buffer.getvalue()


def torch_index(requirements: Iterable[str]) -> Index:
    """The registry and torch's own indexes as they were in November 2026, as far as matters.

    Args:
        requirements: what projects ask for; each is there in its lowest and its first forbidden
            version.
    """
    index = Index()
    index.add("simple", "hatchling", "1.27.0", files={"hatchling/build.py": BACKEND})
    for requirement in requirements:
        name, _, bounds = requirement.partition(">=")
        if not name.startswith("torch") or name == "torchmetrics":
            for version in bounds.split(",<"):
                index.add("simple", name, version)
    add_torch(index, "simple", "", (*LINUX, *DESKTOPS), ["2.14.1", "2.15.0"], "triton")
    add_torch(index, "whl/cpu", "+cpu", (*LINUX, "win_amd64"), ["2.14.1", "2.15.0"])
    add_torch(index, "whl/cpu", "", ("macosx_14_0_arm64",), ["2.14.1", "2.15.0"])
    for build in CUDA:
        versions = ["2.14.1"] if build == "cu126" else ["2.14.1", "2.15.0"]
        folder = f"whl/{build}"
        add_torch(index, folder, f"+{build}", (*LINUX, "win_amd64"), versions, "triton")
    add_torch(index, "whl/rocm7.2", "+rocm7.2", LINUX[:1], ["2.14.1"], "triton-rocm")
    intel = (LINUX[0], "win_amd64")
    add_torch(index, "whl/xpu", "+xpu", intel, ["2.14.1"], "triton-xpu")
    index.add("whl/xpu", "triton-xpu", "3.8.0", "win_amd64")
    return index


def add_torch(
    index: Index,
    folder: str,
    local: str,
    platforms: Iterable[str],
    versions: Iterable[str],
    triton: str = "",
) -> None:
    """torch, torchvision and what they need, as one of the indexes has them."""
    needs = ["filelock", *([f'{triton}~=3.8.0; platform_system == "Linux"'] * bool(triton))]
    index.add(folder, "filelock", "3.20.0")
    index.add(folder, "pillow", "13.0.0")  # an index of torch's mirrors what torchvision needs
    for platform in LINUX if triton else ():
        index.add(folder, triton, "3.8.0", platform)
    for platform in platforms:
        for version in versions:
            python = ">=3.11" if version.startswith("2.15") else ">=3.10"
            index.add(folder, "torch", version + local, platform, needs, python)
        pairs = [("0.29.1", "2.14.0"), ("0.29.2", "2.14.0"), ("0.30.0", "2.15.0")]
        for vision, oldest in pairs[: 3 if "2.15.0" in versions else 2]:
            needed = [f"torch>={oldest}", "pillow"]
            index.add(folder, "torchvision", vision + local, platform, needed)


@contextmanager
def served(index: Index, certificate: Path | None = None) -> Iterator[str]:
    """Answer at this address; with a certificate, also as a proxy to download.pytorch.org."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            index.asked.append(self.path)
            page = index.page(self.path.replace("%2B", "+").partition("?")[0])
            self.send_response(404 if page is None else 200)
            kind = "application/octet-stream" if self.path.endswith(".whl") else "text/html"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(page or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(page or b"")
            self.wfile.flush()

        do_HEAD = do_GET

        def do_CONNECT(self) -> None:
            if context is None or self.path != "download.pytorch.org:443":
                index.strangers.append(self.path)
                self.send_error(403)
                return
            self.send_response(200)
            self.end_headers()
            secure = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = secure.makefile("rb"), secure.makefile("wb")
            self.close_connection = False

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def make_certificate(folder: Path) -> Path:
    """A certificate of download.pytorch.org by an authority of our own (authority.pem)."""
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    authority, certificate = folder / "authority.pem", folder / "server.pem"
    signed = ["-CA", str(authority), "-CAkey", str(authority.with_suffix(".key"))]
    extensions = ["subjectAltName=DNS:download.pytorch.org", "basicConstraints=critical,CA:FALSE"]
    signed += [word for extension in extensions for word in ("-addext", extension)]
    for path, subject, options in (
        (authority, "/CN=Tests", []),
        (certificate, "/CN=download.pytorch.org", signed),
    ):
        files = ["-out", str(path), "-keyout", str(path.with_suffix(".key"))]
        subprocess.run([*new, "-subj", subject, *options, *files], check=True, capture_output=True)
    return certificate
