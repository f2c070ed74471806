"""One HTTP connection to a registry: requests are authorized, and answers are limited in size.

A registry is somebody else's server, and what stands before it somebody else's again: how much comes, how long it takes
and what it says is checked here and in `answers`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Self

import httpx

from prefect_slipway.infra.common.tls import trusting_also
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import AnswerTooLarge, RegistryError, RegistryUnreachable
from prefect_slipway.infra.domain.reference import is_loopback
from prefect_slipway.infra.registry.auth import Authenticator
from prefect_slipway.infra.registry.errors import error_of, transport_error

MOST_BYTES = 4 << 20
"""Of a manifest: what distribution takes at most itself (registry/handlers/manifests.go, maxManifestBodySize)."""

# Of a refusal: enough for its codes.
_MOST_OF_AN_ERROR = 1 << 16
# A refusal without credentials, one with those that were just being rotated, and the answer.
_MAX_SENDS = 3
# As Go's net/http follows, which docker, containerd and buildkitd use.
_MOST_REDIRECTS = 10
# How many of its time-outs an answer that comes drop by drop may take as a whole.
_PATIENCE = 10
_MOST_CONNECTIONS = 32


class Wire:
    """An async context manager; `host`, `insecure`, `ca_file` and `timeout_s` as of `RegistryClient`."""

    def __init__(
        self, host: str, credentials: CredentialSource, *, insecure: bool, ca_file: Path | None, timeout_s: float
    ) -> None:
        self._host = host
        self._credentials = credentials
        self._insecure = insecure
        self._ca_file = ca_file
        self._timeout_s = timeout_s
        self._clock: tuple[float, float] | None = None
        self._base = httpx.URL(f"{'http' if insecure else 'https'}://{host}")
        self._idle: list[httpx.AsyncClient] = []
        self._slots = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def __aenter__(self) -> Self:
        self._tls = trusting_also(f"the registry {self._host}", self._ca_file) if not self._insecure else False
        self._auth = Authenticator(self._ask, self._host, self._credentials, insecure=self._insecure)
        self._exits = await AsyncExitStack().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    def now(self) -> float:
        """Seconds since the epoch by the registry's clock as its answers show it, else by this machine's."""
        if self._clock is None:
            return time.time()
        shown, at = self._clock
        return shown + time.monotonic() - at

    async def request(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        most: int = MOST_BYTES,
    ) -> httpx.Response:
        """The answer to a request, after the 401 that asks for a credential. `most`: bytes of a successful one's body.

        Raises RegistryErrors for no answer and for one that is too large; what a status means is the caller's to say.
        """
        authorization = await self._auth.header(scope)
        for _ in range(_MAX_SENDS):
            sent = dict(headers or {})
            if authorization is not None:
                sent["Authorization"] = authorization
            # Blobs may come from elsewhere: httpx drops Authorization when a redirect leaves this origin
            # (scheme, host and port).
            response = await self._exchange(method, path, sent, content, most, follow=method in {"GET", "HEAD"})
            ours = self.is_own(response.url)
            if ours:
                self._look_at_the_clock(response)
            if response.status_code != 401 or not ours:
                break
            offered = await self._auth.after_401(response, scope)
            if offered is None or offered == authorization:
                break
            authorization = offered
        return response

    def is_own(self, url: httpx.URL) -> bool:
        """Whether an answer is the registry's own: to no other is a password offered, nor to itself in plain HTTP."""
        own = self._base
        return (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port)

    def error(self, response: httpx.Response, *, tag_write: bool = False) -> RegistryError:
        """What an unsuccessful answer means to the caller."""
        return self._auth.explain(error_of(response, tag_write=tag_write))

    async def _ask(self, method: str, url: httpx.URL, headers: dict[str, str], content: bytes | None) -> httpx.Response:
        return await self._exchange(method, url, headers, content, MOST_BYTES, follow=False)

    async def _exchange(
        self,
        method: str,
        url: httpx.URL | str,
        headers: Mapping[str, str],
        content: bytes | None,
        most: int,
        *,
        follow: bool,
    ) -> httpx.Response:
        """An answer with its body, which has been read."""
        async with self._connection() as http:
            request = http.build_request(method, url, headers=headers, content=content)
            host = request.url.netloc.decode("ascii")
            try:
                async with asyncio.timeout(_PATIENCE * self._timeout_s):
                    response = await http.send(request, stream=True, follow_redirects=follow)
                    try:
                        body = await _body(response, most)
                    finally:
                        await response.aclose()
            except httpx.RequestError as error:
                raise transport_error(error, host, method) from error
            except TimeoutError as error:
                raise RegistryUnreachable(f"{host} sends its answer too slowly") from error
        # What was read is decoded already.
        kept = [(name, value) for name, value in response.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(response.status_code, headers=kept, content=body, request=response.request)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[httpx.AsyncClient]:
        """An idle connection to the registry, the last used one first, or a new one.

        A client each, because httpcore's pool looks at all its connections for each request: with twenty at once that
        takes more than twice the time of the request itself.
        """
        async with self._slots:
            http = self._idle.pop() if self._idle else await self._exits.enter_async_context(self._new_client())
            try:
                yield http
            finally:
                self._idle.append(http)

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._base,
            verify=self._tls,
            timeout=httpx.Timeout(self._timeout_s, connect=min(10.0, self._timeout_s)),
            # Many servers close a connection that was idle for five seconds: it must not be used just then.
            limits=httpx.Limits(keepalive_expiry=4.0),
            headers={"User-Agent": "slipway"},
            max_redirects=_MOST_REDIRECTS,
            # A proxy of the environment has no business with this machine's own ports.
            trust_env=not is_loopback(self._host),
        )

    def _look_at_the_clock(self, response: httpx.Response) -> None:
        try:
            shown = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError, TypeError, IndexError, OverflowError):
            return
        self._clock = shown, time.monotonic()


async def _body(response: httpx.Response, most: int) -> bytes:
    if not response.is_success:
        most = _MOST_OF_AN_ERROR
    body = bytearray()
    async for piece in response.aiter_bytes(1 << 16):
        body += piece
        if len(body) > most:
            if response.is_success:
                where = f"{response.url.netloc.decode('ascii')}{response.url.path}"
                raise AnswerTooLarge(f"{where}: the answer has more than {most} bytes")
            break
    return bytes(body[:most])
