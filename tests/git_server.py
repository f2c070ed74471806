"""A real git server over HTTP: `git http-backend` behind a small CGI host, with Basic authentication."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.serving import serving


@dataclass
class GitServer:
    """Serves the repositories below `root`.

    `password`: of the user `robot`, None for anonymous access. `status`: answered to every request instead, if set.
    `writable`: whether pushes are taken. `redirect`: where all requests are sent to, if set. `seen`: the Authorization
    headers that arrived. `begun`: the service of each conversation, `git-upload-pack` or `git-receive-pack`. `tls`:
    https is spoken with it.
    """

    root: Path
    port: int = 0
    password: str | None = None
    status: int | None = None
    writable: bool = True
    redirect: str | None = None
    tls: ssl.SSLContext | None = None
    seen: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/{name}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def serve_git(root: Path, **options: Any) -> Iterator[GitServer]:
    """A GitServer on a free port for the time of the block."""
    server = GitServer(root, **options)
    handler = type("Handler", (_Handler,), {"settings": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        if server.tls is not None:
            http.socket = server.tls.wrap_socket(http.socket, server_side=True)
        server.port = http.server_address[1]
        with serving(http):
            yield server


class _Handler(BaseHTTPRequestHandler):
    settings: GitServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self._body()
        settings = self.settings
        authorization = self.headers.get("Authorization")
        if authorization:
            settings.seen.append(authorization)
        if "/info/refs?service=" in self.path:
            settings.begun.append(self.path.rpartition("=")[2])
        if settings.redirect is not None:
            return self._answer(302, {"Location": settings.redirect + self.path})
        if settings.status is not None:
            return self._answer(settings.status, {})
        if settings.password is not None:
            expected = base64.b64encode(f"robot:{settings.password}".encode()).decode()
            if authorization != f"Basic {expected}":
                return self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'})
        if "/info/lfs/" in self.path:
            return self._lfs(body)
        if "git-receive-pack" in self.path and not settings.writable:
            return self._answer(403, {})
        return self._run(body)

    def _lfs(self, body: bytes) -> None:
        """Git LFS (docs/api/batch.md, "basic" transfers) out of the repository's `lfs/objects/OID`."""
        repository, _, rest = self.path.partition("/info/lfs/objects/")
        stored = self.settings.root / repository.strip("/") / "lfs" / "objects"
        if rest != "batch":
            return self._answer(200, {}, (stored / rest).read_bytes())
        objects = [
            {**wanted, "actions": {"download": {"href": f"{self.settings.url(repository[1:])}/info/lfs/objects/{oid}"}}}
            if (stored / (oid := wanted["oid"])).exists()
            else {**wanted, "error": {"code": 404, "message": "no such object"}}
            for wanted in json.loads(body)["objects"]
        ]
        content = json.dumps({"transfer": "basic", "objects": objects}).encode()
        return self._answer(200, {"Content-Type": "application/vnd.git-lfs+json"}, content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _run(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.settings.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "robot",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = int(headers.pop("Status", "200").split()[0])
        self._answer(status, headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
