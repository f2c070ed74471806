"""What went wrong on the way is told in words, whichever library met it, and never by the name of a class."""

from __future__ import annotations

import pickle
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests

from prefect_slipway.infra.common.reasons import reason, tls_reason, unreachable
from prefect_slipway.infra.domain.errors import VaultUnreachable
from tests.waiting import PATIENCE_S

Get = Callable[[str], Awaitable[None]]
# How long a server may say nothing; finding its name and connecting may take longer.
_SILENCE_S = 2.0


async def by_httpx(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(PATIENCE_S, read=_SILENCE_S)) as client:
        await client.get(url)


async def by_aiohttp(url: str) -> None:
    limit = aiohttp.ClientTimeout(PATIENCE_S, sock_read=_SILENCE_S)
    async with aiohttp.ClientSession(timeout=limit) as session, session.get(url):
        pass


async def by_requests(url: str) -> None:
    requests.get(url, timeout=(PATIENCE_S, _SILENCE_S))


@pytest.fixture
def silent() -> Iterator[str]:
    """It takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closing() -> Iterator[str]:
    """It reads a request and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close_all() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass

        thread = threading.Thread(target=close_all)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


async def told(get: Get, url: str) -> str:
    with pytest.raises(Exception) as caught:
        await get(url)
    return reason(caught.value)


@pytest.mark.parametrize("get", [by_httpx, by_aiohttp, by_requests])
async def test_each_librarys_trouble_has_the_same_words(get: Get, silent: str, closing: str) -> None:
    """Refused, silent, closed and unknown servers."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert await told(get, f"http://127.0.0.1:{port}/") == "connection refused"
    assert await told(get, f"http://{silent}/") == "no answer in time"
    assert await told(get, f"http://{closing}/") == "the connection was closed before the answer was complete"
    assert await told(get, "http://no-such-host.invalid/") == "no such host"


@pytest.mark.parametrize("kind", [kind for kind in vars(httpx).values() if isinstance(kind, type)])
def test_no_class_of_httpx_is_named(kind: type) -> None:
    """Every one of its errors has words."""
    if not issubclass(kind, httpx.RequestError | httpx.InvalidURL):
        return
    said = reason(kind("secret"))
    assert said
    assert kind.__name__ not in said
    assert "secret" not in said


def test_the_system_is_quoted_in_its_own_words() -> None:
    """Without the path, the address or the number that its error carries."""
    assert reason(OSError(28, "No space left on device", "/secret")) == "no space left on device"
    try:
        Path("/no/such/file").read_text()
    except OSError as error:
        assert reason(error) == "no such file or directory"


@pytest.mark.parametrize(
    ("number", "words", "most"),
    [
        (socket.EAI_NONAME, "no such host", 1),
        (socket.EAI_AGAIN, "the name server gave no answer", None),
        (socket.EAI_FAIL, "the name server gave no answer", None),
    ],
)
def test_only_a_name_that_does_not_exist_is_tried_once(number: int, words: str, most: int | None) -> None:
    """A name server that is away comes back; its no stays for minutes. Also after a run has passed the error on."""
    outer = httpx.ConnectError("secret")
    outer.__cause__ = socket.gaierror(number, "secret")
    error = pickle.loads(pickle.dumps(unreachable(VaultUnreachable, "Vault cannot be reached", outer, "VAULT_ADDR")))
    assert error.cause == f"Vault cannot be reached: {words}"
    assert error.retryable
    assert error.most_tries == most
    assert "DNS" in error.action


def test_tls_is_told_by_openssl() -> None:
    """A certificate that is not trusted, wherever in the chain of causes it stands."""
    error = ssl.SSLCertVerificationError(1, "secret")
    error.verify_message = "unable to get local issuer certificate"
    outer = httpx.ConnectError("secret")
    outer.__cause__ = error
    assert tls_reason(outer) == "unable to get local issuer certificate"
    assert reason(outer) == "TLS: unable to get local issuer certificate"
    assert tls_reason(ssl.SSLEOFError(8, "EOF")) is None
