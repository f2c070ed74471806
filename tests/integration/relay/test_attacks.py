"""What is no rightly signed delivery: the right status, in bounded time and memory, and nothing of it in the log."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import patient
from tests.integration.faults.haystack import Needles
from tests.integration.relay.conftest import Probe, RunningRelay, commit_id, github_push, hex_hmac, running_relay
from tests.waiting import PATIENCE_S, looks
from tests.warm import WarmStarter

CANARY = secrets.token_urlsafe(24)
LIMIT = 5 << 20


@pytest.fixture(scope="module")
def relay(commands: WarmStarter, probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRelay]:
    """One that is impatient."""
    limits = ("--headers-timeout", "1", "--body-timeout", "1", "--max-connections", "20", "--verbose")
    with running_relay(commands, tmp_path_factory.mktemp("relay"), *limits) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_was_started(relay: RunningRelay, probe: Probe) -> Iterator[None]:
    """By any attack of this module."""
    yield
    assert probe.runs_of(CANARY) == []


def push(**more: Any) -> bytes:
    """A delivery that would start a run."""
    return json.dumps(github_push(commit_id(), pusher={"name": CANARY}, **more)).encode()


def test_no_signature(relay: RunningRelay) -> None:
    """401, before the body is looked at."""
    body = push()
    headers = relay.github_headers(body)
    del headers["X-Hub-Signature-256"]
    answer = relay.post("github", body, headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Webhook-Signature")
    assert relay.post("github", body, {**headers, "X-Hub-Signature-256": ""}).status_code == 401
    assert relay.post("generic", body, headers).status_code == 401
    assert relay.post("gitlab", body, {"X-Gitlab-Event": "Push Hook"}).status_code == 401


def test_a_wrong_signature(relay: RunningRelay) -> None:
    """Another secret, another body, another source's secret: 403."""
    body = push()
    for secret in ("x" * 32, relay.secrets["gitea"]):
        assert relay.post("github", body, relay.github_headers(body, secret)).status_code == 403
    headers = relay.github_headers(body)
    assert relay.post("github", body + b" ", headers).status_code == 403
    assert relay.post("github", body[:-10], headers).status_code == 403
    assert relay.post("github", push(), headers).status_code == 403


def test_a_replay_of_the_generic_form(relay: RunningRelay) -> None:
    """Signed ten minutes ago: 403, however right it is."""
    document = {"repository": "team/app", "ref": "refs/heads/main", "after": commit_id(), "pusher": CANARY}
    answer = relay.generic(document, age_s=600)
    assert answer.status_code == 403
    assert relay.generic(document, age_s=-600).status_code == 403


HALVES = [
    json.dumps(github_push(commit_id(), ref="refs/heads/\ud800")).encode(),
    json.dumps(github_push(commit_id(), pusher={"name": "\ud800"})).encode(),
    json.dumps(github_push(commit_id(), commits=[{"added": ["\ud800"]}])).encode(),
]
"""Half a surrogate pair: JSON can say it, and no encoding has it."""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"Hello, World!",
        b"[" * 100_000,
        b'{"ref": 1}',
        b'{"a": NaN}',
        b"{}",
        *HALVES,
    ],
    ids=["empty", "open", "null", "list", "bytes", "text", "deep", "type", "nan", "nothing", "ref", "pusher", "path"],
)
def test_a_body_that_is_no_push(relay: RunningRelay, body: bytes) -> None:
    """400, although it is rightly signed."""
    answer = relay.github(body)
    assert (answer.status_code, answer.json()["outcome"]) == (400, "refused")


def test_another_form(relay: RunningRelay) -> None:
    """A form's content type, none, an encoding, a query: refused before the signature is checked."""
    body = push()
    signed = relay.github_headers(body)
    form = {**signed, "Content-Type": "application/x-www-form-urlencoded"}
    assert relay.post("github", b"payload=x", form).status_code == 415
    assert relay.post("github", body, {**signed, "Content-Type": ""}).status_code == 415
    assert relay.post("github", body, {**signed, "Content-Encoding": "gzip"}).status_code == 415
    assert relay.post(f"github?token={CANARY}", body, signed).status_code == 400


def test_other_paths_and_methods(relay: RunningRelay) -> None:
    """404 and 405; a path may hold what was meant to be secret."""
    body = push()
    signed = relay.github_headers(body)
    for path in (f"nobody-{CANARY}", "github/", "github/x", "..%2fgithub", ""):
        assert relay.post(path, body, signed).status_code == 404, path
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        answer = patient.request(method, f"{relay.url}/hooks/github")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert patient.post(f"{relay.health_url}/healthz").status_code == 405


def test_the_health_endpoint(relay: RunningRelay) -> None:
    """It says that the relay runs and how many rules are in force, and has an address of its own."""
    assert patient.get(f"{relay.url}/healthz").status_code == 404
    assert relay.post("../healthz", b"", {}).status_code == 404
    answer = patient.get(f"{relay.health_url}/healthz")
    assert answer.json() == {"status": "ok", "rules": 4, "rules_problem": None}


def raw(relay: RunningRelay, request: bytes, timeout_s: float = 20.0) -> bytes:
    """Send bytes, and give all that comes until the connection is closed."""
    with socket.create_connection(("127.0.0.1", relay.port), timeout=timeout_s) as connection:
        connection.sendall(request)
        return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while data := connection.recv(65536):
            answer += data
    except ConnectionResetError:
        pass
    return answer


def head(relay: RunningRelay, *more: str) -> bytes:
    lines = [
        "POST /hooks/github HTTP/1.1",
        "Host: relay",
        "Content-Type: application/json",
        "X-GitHub-Event: push",
        f"X-GitHub-Delivery: {uuid.uuid4()}",
        f"X-Hub-Signature-256: sha256={'0' * 64}",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_body_that_announces_too_much(relay: RunningRelay) -> None:
    """413, without a byte of it having been sent."""
    assert b" 413 " in raw(relay, head(relay, f"Content-Length: {LIMIT + 1}")).split(b"\r\n")[0]


def test_a_body_without_an_end(relay: RunningRelay) -> None:
    """Chunks without a length are counted while they arrive; memory does not grow with what is sent."""
    chunk = b"100000\r\n" + CANARY.encode().ljust(1 << 20, b"x") + b"\r\n"
    process = psutil.Process(relay.command.pid)
    before = process.memory_info().rss
    with socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head(relay, "Transfer-Encoding: chunked"))
        answer = b""
        try:
            for _ in range(64):
                connection.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = rest_of(connection)
    assert b" 413 " in answer.split(b"\r\n")[0] or answer == b""
    relay.command.until(f"more than {LIMIT} bytes")
    assert process.memory_info().rss - before < 32 << 20


def test_a_body_that_is_cut_off(relay: RunningRelay) -> None:
    """The sender goes away in the middle: nothing happens, and the next is served."""
    body = push()
    headers = relay.github_headers(body)
    with socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE_S) as connection:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        start = ["POST /hooks/github HTTP/1.1", "Host: relay", "Content-Type: application/json", *lines]
        request = "\r\n".join([*start, f"Content-Length: {len(body)}"]) + "\r\n\r\n"
        connection.sendall(request.encode() + body[:-20])
    test_the_health_endpoint(relay)


def test_a_slow_body(relay: RunningRelay) -> None:
    """408 after the time for it, though a byte comes now and then."""
    with socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head(relay, "Content-Length: 1000"))
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.1):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        answer = rest_of(connection)
        stop.set()
        dripping.join()
    assert b" 408 " in answer.split(b"\r\n")[0]


def test_headers_without_an_end(relay: RunningRelay) -> None:
    """The connection is closed after the time for them, though a byte comes now and then, and so is a silent one."""
    with ExitStack() as exits:
        silent, slow = (
            exits.enter_context(socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE_S))
            for _ in range(2)
        )
        slow.sendall(b"POST /hooks/github HTTP/1.1\r\n")
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.1):
                try:
                    slow.sendall(b"x")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert rest_of(silent) == b""
        assert rest_of(slow) == b""
        stop.set()
        dripping.join()


def test_too_many_connections(relay: RunningRelay) -> None:
    """One too many is told to come again, at once; when the silent ones are gone all is well."""
    with ExitStack() as exits:
        address = ("127.0.0.1", relay.port)
        silent = [exits.enter_context(socket.create_connection(address, timeout=PATIENCE_S)) for _ in range(25)]
        answer = rest_of(silent[-1])
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After" in answer
    relay.command.until("too many connections")
    for _ in looks():
        if raw(relay, b"GET /hooks/github HTTP/1.1\r\nHost: relay\r\n\r\n").startswith(b"HTTP/1.1 405 "):
            return
    raise AssertionError("it does not recover")


def test_one_client_does_not_silence_the_others(commands: WarmStarter, tmp_path: Path) -> None:
    """More silent connections than there are in all, from one address: deliveries of others and health are answered."""
    with ExitStack() as exits:
        relay = exits.enter_context(running_relay(commands, tmp_path, "--headers-timeout", "60"))
        address = ("127.0.0.1", relay.port)
        silent = [exits.enter_context(socket.create_connection(address, timeout=PATIENCE_S)) for _ in range(130)]
        assert rest_of(silent[-1]).startswith(b"HTTP/1.1 503 ")
        relay.command.until("refused: too many connections from 127.0.0.1")
        body = push()
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(transport=transport, trust_env=False) as other:
            headers = relay.github_headers(body) | {"Content-Type": "application/json", "X-GitHub-Event": "ping"}
            assert other.post(f"{relay.url}/hooks/github", content=body, headers=headers).status_code == 200
        assert patient.get(f"{relay.health_url}/healthz").status_code == 200


def test_silent_connections_do_not_silence_health(commands: WarmStarter, tmp_path: Path) -> None:
    """All connections are taken, from many addresses: whoever asks for its health gets an answer."""
    with ExitStack() as exits:
        relay = exits.enter_context(running_relay(commands, tmp_path, "--headers-timeout", "60"))
        silent = [
            exits.enter_context(
                socket.create_connection(("127.0.0.1", relay.port), 20, source_address=(f"127.0.0.{client}", 0))
            )
            for client in range(2, 8)
            for _ in range(30)
        ]
        assert rest_of(silent[-1]).startswith(b"HTTP/1.1 503 ")
        assert patient.get(f"{relay.health_url}/healthz").json()["status"] == "ok"


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"{CANARY} nonsense\r\n\r\n".encode(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY.encode(),
        f"POST /hooks/github HTTP/1.1\r\nHost: x\r\nX-{CANARY}: {'x' * 20_000}\r\n\r\n".encode(),
        f"POST /hooks/github HTTP/1.1\r\nHost: x\r\n{CANARY}\r\n\r\n".encode(),
        b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
    ids=["nonsense", "tls", "long header", "no colon", "two lengths", "negative", "contradiction"],
)
def test_what_is_not_http(relay: RunningRelay, request_bytes: bytes) -> None:
    """400 and an end of the connection; nothing of it is quoted in the log."""
    answer = raw(relay, request_bytes)
    assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0]
    test_the_health_endpoint(relay)


def test_pipelined_requests_are_not_all_taken(relay: RunningRelay) -> None:
    """One connection, one answer."""
    request = b"GET /hooks/github HTTP/1.1\r\nHost: relay\r\n\r\n"
    assert raw(relay, request * 50).count(b"HTTP/1.1 ") == 1


def test_a_secret_that_cannot_be_read(relay: RunningRelay) -> None:
    """503: the forge shall send it again; the log names the place, the answer does not."""
    path = relay.secrets_folder / "gitea"
    body = push()
    headers = {
        "X-Gitea-Delivery": str(uuid.uuid4()),
        "X-Gitea-Event": "push",
        "X-Gitea-Signature": hex_hmac(relay.secrets["gitea"], body),
    }
    path.rename(path.with_suffix(".away"))
    answer = relay.post("gitea", body, headers)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert str(path) not in answer.text
    relay.command.until(str(path))


def test_nothing_of_it_is_in_the_log(relay: RunningRelay) -> None:
    """Not a secret, a signature, a part of a body, a path, a header; what is there names source, status and reason."""
    needles = Needles([CANARY, *relay.secrets.values(), *relay.sent])
    assert needles.in_bytes(relay.log.encode()) == set()
    for expected in (
        "github: refused (401) from 127.0.0.1: not signed: the header X-Hub-Signature-256 is missing",
        "github: refused (403) from 127.0.0.1: the signature does not match",
        "github: refused (400) from 127.0.0.1: the body is not JSON",
        "github: refused (408)",
        "github: refused (413)",
        "github: refused (415)",
        "refused (404) from 127.0.0.1: no such path or method",
        "refused (400): not HTTP",
    ):
        relay.command.until(expected)
    assert "Traceback" not in relay.log
    assert "failed (500)" not in relay.log


def test_the_search_would_find_it(relay: RunningRelay) -> None:
    """The delivery's id is in the log, and the search sees it."""
    identity = str(uuid.uuid4())
    relay.github({"zen": ""}, **{"X-GitHub-Event": "ping", "X-GitHub-Delivery": identity})
    relay.command.until(identity)
    assert Needles([identity]).in_bytes(relay.log.encode()) == {identity}
