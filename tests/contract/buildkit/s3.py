"""Amazon S3, played as far as a cache of BuildKit's goes: objects are put, looked for and got, by whoever is known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.serving import serving


class S3(ThreadingHTTPServer):
    """`key`: the access key that requests have to be signed by (the signature itself is not checked), `session`: the
    token that belongs to it. `refused`: how often it was another."""

    daemon_threads = True

    def __init__(self, key: str, session: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key = key
        self.session = session
        self.refused = 0
        self.objects: dict[str, bytes] = {}


@contextmanager
def s3(key: str, session: str) -> Iterator[S3]:
    with S3(key, session) as server, serving(server):
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if not self._may():
            return
        data = self.server.objects.get(self._name())
        if data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if match is None:
            self._answer(200, data)
        else:
            end = min(int(match[2] or len(data) - 1), len(data) - 1)
            self._answer(206, data[int(match[1]) : end + 1], f"bytes {match[1]}-{end}/{len(data)}")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._may():
            chunked = "aws-chunked" in (self.headers["Content-Encoding"] or "")
            self.server.objects[self._name()] = _unchunked(body) if chunked else body
            self._answer(200)

    def log_message(self, *_: object) -> None:
        pass

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path)

    def _may(self) -> bool:
        signed = f"Credential={self.server.key}/" in (self.headers["Authorization"] or "")
        if signed and self.headers["X-Amz-Security-Token"] == self.server.session:
            return True
        self.server.refused += 1
        self._answer(403, b"<Error><Code>InvalidAccessKeyId</Code></Error>")
        return False

    def _answer(self, status: int, data: bytes = b"", content_range: str = "") -> None:
        self.send_response(status)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _unchunked(body: bytes) -> bytes:
    """`SIZE[;chunk-signature=…]`, the bytes, and so on to a size of 0."""
    data = b""
    while True:
        line, _, body = body.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            return data
        data, body = data + body[:size], body[size + 2 :]
