"""An HTTP front that passes requests on to a real server, but for those it was told to spoil."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.certificates import Certificates
from tests.waiting import PATIENCE_S

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "host"}


@dataclass
class Fault:
    """What happens to the next `times` requests that match.

    An answer of `status`, `headers` and `body`; status None drops the connection after the request's headers
    (an upload that breaks off), `hang` keeps it silent until the front is closed. `late`: it is passed on, so many
    seconds later; `until`: it is passed on once that has happened; `rewritten`: it is passed on, and these headers of
    the answer are replaced. `lost`: it is passed on, and instead of its answer the connection is dropped. `agent`: only
    of clients that call themselves so.
    """

    method: str
    path: re.Pattern[str]
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang: bool = False
    late: Callable[[], float] | None = None
    rewritten: Mapping[str, str] | None = None
    until: threading.Event | None = None
    times: int = 1_000_000
    agent: str = ""
    lost: bool = False

    def is_for(self, request: Seen) -> bool:
        ours = self.method in {"*", request.method} and self.path.search(request.path) is not None
        return ours and self.times > 0 and request.headers.get("User-Agent", "").startswith(self.agent)


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]


class Front:
    """The front's address, its faults and what it has seen."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def spoil(
        self,
        method: str,
        path: str,
        status: int | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        hang: bool = False,
        until: threading.Event | None = None,
        times: int = 1_000_000,
        agent: str = "",
    ) -> None:
        """Spoil requests with this method (`*`: any) whose path has a match of the regular expression."""
        with self._lock:
            self._faults.append(
                Fault(method, re.compile(path), status, headers or {}, body, hang, None, None, until, times, agent)
            )

    def slow_down(self, method: str, path: str, late: Callable[[], float]) -> None:
        """Pass such requests on only after `late()` seconds each: they are on their way, and have no effect yet."""
        with self._lock:
            self._faults.append(Fault(method, re.compile(path), late=late))

    def rewrite(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Pass such requests on, and replace these headers of the answers."""
        with self._lock:
            self._faults.append(Fault(method, re.compile(path), rewritten=headers))

    def lose(self, method: str, path: str, times: int) -> None:
        """Pass so many such requests on, and drop their answers."""
        with self._lock:
            self._faults.append(Fault(method, re.compile(path), times=times, lost=True))

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def fault_for(self, request: Seen) -> Fault | None:
        with self._lock:
            self.seen.append(request)
            for fault in self._faults:
                if fault.is_for(request):
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def front(upstream: str, tls: Certificates | None = None) -> Iterator[Front]:
    """A front before `upstream` (HOST:PORT, plain HTTP), on loopback; speaks HTTPS if certificates are given."""

    class Handler(_Handler):
        target = upstream

    # Not a daemon thread server: closing it waits for its threads, so that no socket outlives the test.
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    scheme_port = server.server_address[1]
    Handler.front = Front(f"127.0.0.1:{scheme_port}")
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.cert, tls.key)
        # The handshake happens in the connection's own thread: one that fails must not stop the others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Handler.front
    finally:
        Handler.front.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    target: str
    front: Front
    protocol_version = "HTTP/1.1"
    # Also to what is no HTTP: a Docker engine tries HTTPS first and goes on in plain HTTP if the answer is "HTTP/…".
    default_request_version = "HTTP/1.1"
    timeout = 5.0

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, http.client.HTTPException):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        seen = Seen(self.command, self.path, dict(self.headers.items()))
        fault = self.front.fault_for(seen)
        if fault is None:
            self._pass_on(self._body())
        elif fault.lost:
            self._pass_on(self._body(), lost=True)
        elif fault.late is not None:
            body = self._body()
            self.front.closing.wait(fault.late())
            self._pass_on(body)
        elif fault.rewritten is not None:
            self._pass_on(self._body(), fault.rewritten)
        elif fault.until is not None:
            fault.until.wait(PATIENCE_S)
            self._pass_on(self._body())
        elif fault.hang:
            self.front.closing.wait()
            self.close_connection = True
        elif fault.status is None:
            self._drop()
        else:
            self._body()
            self._answer(fault.status, list(fault.headers.items()), fault.body)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, body: bytes, rewritten: Mapping[str, str] | None = None, *, lost: bool = False) -> None:
        upstream = http.client.HTTPConnection(self.target, timeout=PATIENCE_S)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    upstream.putheader(name, value)
            # The server names itself by what the client called it.
            upstream.putheader("Host", self.headers.get("Host", self.target))
            if isinstance(self.connection, ssl.SSLSocket):
                upstream.putheader("X-Forwarded-Proto", "https")
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            if lost:
                self._drop()
                return
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
            if self.command == "HEAD" and (length := answer.getheader("Content-Length")):
                headers.append(("Content-Length", length))
            rewritten = rewritten or {}
            kept = [(name, value) for name, value in headers if name not in rewritten]
            self._answer(answer.status, [*kept, *rewritten.items()], content)
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD" and status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_LIST = _serve
