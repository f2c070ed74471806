"""GitHub's Actions cache, played: both versions of its API, as far as BuildKit speaks them.

Version 1: api.md of tonistiigi/go-actions-cache. Version 2: cache_v2.go there, and Azure's Put Blob, Put Block, Put
Block List and Get Blob. Values are found by their key, or by a prefix of it, the latest first.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.serving import serving

_V1 = "/one/_apis/artifactcache/"
_V2 = "/two/twirp/github.actions.results.api.v1.CacheService/"


def runner_token() -> str:
    """A job's token as its clients read it (the signature is the server's business): it may read and write one
    branch's cache, for an hour."""
    now = int(time.time())
    claims = {"ac": json.dumps([{"Scope": "refs/heads/main", "Permission": 3}]), "nbf": now - 60, "exp": now + 3600}
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    return ".".join([*(_url_safe(json.dumps(part).encode()) for part in parts), _url_safe(b"signed")])


class ActionsCache(ThreadingHTTPServer):
    """`used`: the API's versions that were spoken. `refused`: how often a token was wrong."""

    daemon_threads = True

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.used: set[int] = set()
        self.refused = 0
        self.lock = threading.Lock()
        self.keys: dict[str, int] = {}
        self.saved: dict[int, bytes] = {}
        self.parts: dict[int, dict[str, bytes]] = {}

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def runner(self) -> dict[str, str]:
        """A runner's environment that offers the first version."""
        return {"ACTIONS_CACHE_URL": f"{self.base}/one/", "ACTIONS_RUNTIME_TOKEN": self.token}

    def reserve(self, key: str) -> int | None:
        """A number for the key, None if it has one."""
        with self.lock:
            if key in self.keys:
                return None
            number = self.keys[key] = len(self.keys) + 1
            self.parts[number] = {}
            return number

    def find(self, keys: list[str]) -> tuple[str, int] | None:
        with self.lock:
            for wanted in keys:
                for key, number in sorted(self.keys.items(), key=lambda item: (item[0] != wanted, -item[1])):
                    if key.startswith(wanted) and number in self.saved:
                        return key, number
        return None


@contextmanager
def actions_cache() -> Iterator[ActionsCache]:
    with ActionsCache(runner_token()) as server, serving(server):
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ActionsCache

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path.startswith("/blobs/"):
            self._blob(self.server.saved[int(url.path.removeprefix("/blobs/"))])
        elif self._may() and url.path == _V1 + "cache":
            self.server.used.add(1)
            found = self.server.find(parse_qs(url.query)["keys"][0].split(","))
            if found is None:
                self._answer(204)
            else:
                key, number = found
                location = f"{self.server.base}/blobs/{number}"
                self._answer(200, {"cacheKey": key, "scope": "refs/heads/main", "archiveLocation": location})

    def do_POST(self) -> None:
        body = json.loads(self._body())
        if not self._may():
            return
        if self.path.startswith(_V2):
            self.server.used.add(2)
            self._answer(200, self._second(self.path.removeprefix(_V2), body))
        elif self.path == _V1 + "caches":
            number = self.server.reserve(body["key"])
            if number is None:
                self._answer(409, {"typeKey": "ArtifactCacheItemAlreadyExistsException", "message": "already exists"})
            else:
                self._answer(201, {"cacheId": number})
        else:
            number = int(self.path.removeprefix(_V1 + "caches/"))
            parts = self.server.parts[number]
            self.server.saved[number] = b"".join(parts[key] for key in sorted(parts))
            self._answer(204 if len(self.server.saved[number]) == body["size"] else 400)

    def do_PATCH(self) -> None:
        body = self._body()
        if self._may():
            match = re.fullmatch(r"bytes (\d+)-\d+/\*", self.headers["Content-Range"])
            assert match is not None
            number = int(self.path.removeprefix(_V1 + "caches/"))
            self.server.parts[number][f"{int(match[1]):020}"] = body
            self._answer(204)

    def do_PUT(self) -> None:
        """Azure's: the URL itself is what one may upload by."""
        body, url = self._body(), urlsplit(self.path)
        number, query = int(url.path.removeprefix("/blobs/")), parse_qs(url.query)
        parts = self.server.parts[number]
        match query.get("comp"):
            case ["block"]:
                parts[query["blockid"][0]] = body
            case ["blocklist"]:
                named = re.findall(r"<(?:Latest|Uncommitted)>([^<]+)<", body.decode())
                self.server.saved[number] = b"".join(parts[each] for each in named)
            case _:
                self.server.saved[number] = body
        self._answer(201)

    def log_message(self, *_: object) -> None:
        pass

    def _second(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "CreateCacheEntry":
                number = self.server.reserve(body["key"])
                return {"ok": number is not None, "signed_upload_url": f"{self.server.base}/blobs/{number}?sig=x"}
            case "FinalizeCacheEntryUpload":
                number = self.server.keys[body["key"]]
                return {"ok": len(self.server.saved[number]) == body["size_bytes"], "entry_id": str(number)}
            case _:
                found = self.server.find([body["key"], *body["restore_keys"]])
                if found is None:
                    return {"ok": False}
                return {
                    "ok": True,
                    "matched_key": found[0],
                    "signed_download_url": f"{self.server.base}/blobs/{found[1]}",
                }

    def _may(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {self.server.token}":
            return True
        self.server.refused += 1
        self._answer(401, {"message": "no such token here"})
        return False

    def _body(self) -> bytes:
        if self.headers["Transfer-Encoding"] == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _blob(self, data: bytes) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers["x-ms-range"] or self.headers["Range"] or "")
        start = int(match[1]) if match else 0
        self._answer(
            206 if match else 200, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        )

    def _answer(self, status: int, body: bytes | dict[str, Any] = b"", headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"x-ms-request-id": "1", "Content-Length": str(len(data)), **(headers or {})}.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
