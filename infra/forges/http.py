"""One HTTP connection to a forge's API, which is somebody else's server: it gets the token, and nobody else does.

Sources: docs.github.com "Rate limits for the REST API" (403 or 429, `x-ratelimit-remaining`, `x-ratelimit-reset`) and
"Best practices" (redirects keep the method); docs.gitlab.com "Rate limits" (429, `Retry-After`); RFC 9110, 15.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from prefect_slipway.infra.common.reasons import tls_reason, unreachable
from prefect_slipway.infra.common.retry_after import retry_after
from prefect_slipway.infra.common.tls import trusting_also
from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.domain.reference import is_loopback
from prefect_slipway.infra.domain.urls import shown

MOST_BYTES = 8 << 20
"""Of an answer: a hundred releases, each with its text."""

_MOST_OF_AN_ERROR = 1 << 16
_MOST_SAID = 300
# How many of its time-outs a file's upload, or an answer that comes drop by drop, may take as a whole.
_PATIENCE = 10
_REDIRECTS = {301, 302, 307, 308}
_MOST_REDIRECTS = 3
_BY_STATUS: Mapping[int, type[errors.ForgeError]] = {
    400: errors.ForgeRefused,
    401: errors.ForgeUnauthorized,
    403: errors.ForgeForbidden,
    404: errors.ForgeRepositoryUnknown,
    405: errors.ForgeRefused,
    408: errors.ForgeUnavailable,
    409: errors.ForgeConflict,
    413: errors.ForgeRefused,
    422: errors.ForgeRefused,
    423: errors.ForgeRefused,
    429: errors.ForgeThrottled,
}


class ForgeHttp:
    """An async context manager. `api`: without a slash at its end; `scheme`: of the Authorization header. The token is
    kept for as long as it is open, and masked in what the forge says."""

    def __init__(
        self, api: str, token: str, *, scheme: str = "Bearer", ca_file: Path | None = None, timeout_s: float = 30.0
    ) -> None:
        self.api = api
        self._token = token
        self._scheme = scheme
        self._ca_file = ca_file
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        secure = self.api.startswith("https:")
        host = urlsplit(self.api).netloc
        if not (self._token.isascii() and self._token.isprintable()) or " " in self._token:
            raise errors.ForgeUnauthorized("the forge's token has characters that no token has")
        self._http = httpx.AsyncClient(
            verify=trusting_also(f"the forge {host}", self._ca_file) if secure else False,
            timeout=httpx.Timeout(self._timeout_s, connect=min(10.0, self._timeout_s)),
            headers={"User-Agent": "slipway", "Authorization": f"{self._scheme} {self._token}"},
            trust_env=not is_loopback(host),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        missing: bool = False,
        **sent: Any,
    ) -> Any:
        """The JSON of a successful answer; None for one without a body, and for 404 where the thing may be `missing`.

        `path`: below the API, or a whole URL of the same server. `body`: sent as JSON; `sent`: as httpx takes it.
        Raises ForgeErrors.
        """
        url = path if "://" in path else self.api + path
        for _ in range(_MOST_REDIRECTS + 1):
            self._check_ours(method, url)
            request = self._http.build_request(method, url, json=body, **sent)
            response = await self._exchange(request)
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                break
            try:
                url = str(request.url.join(response.headers["Location"]))
            except httpx.InvalidURL:
                break
        if response.status_code == 404 and missing:
            return None
        if not response.is_success:
            raise self._error(response)
        if not response.content:
            return None
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            raise errors.ForgeProtocolError(f"{_asked(response)}: the answer is not JSON") from None

    def _check_ours(self, method: str, url: str) -> None:
        """The token goes to the API's server, and to where GitHub takes files."""
        own, there = urlsplit(self.api), urlsplit(url)
        hosts = {own.netloc, f"uploads.{own.netloc.removeprefix('api.')}"}
        if there.scheme != own.scheme or there.netloc not in hosts:
            raise errors.ForgeProtocolError(
                f"{own.netloc} leads to {shown(url)} for {method}: another server does not get the token",
                action="if the forge has moved, pass its new address with --forge-url",
            )

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        """An answer with its body, which has been read."""
        host = request.url.netloc.decode("ascii")
        try:
            async with asyncio.timeout(_PATIENCE * self._timeout_s):
                response = await self._http.send(request, stream=True, follow_redirects=False)
                try:
                    most = MOST_BYTES if response.is_success else _MOST_OF_AN_ERROR
                    read = bytearray()
                    async for piece in response.aiter_bytes(1 << 16):
                        read += piece
                        if len(read) > most:
                            break
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise errors.ForgeUnreachable(f"{host} sends its answer too slowly") from error
        except httpx.RequestError as error:
            if (tls := tls_reason(error)) is not None:
                raise errors.ForgeTlsError(f"no TLS connection with {host}: {tls}") from error
            raise unreachable(errors.ForgeUnreachable, f"{host} cannot be reached", error, "--forge-url") from error
        if len(read) > most and response.is_success:
            raise errors.ForgeProtocolError(f"{host}{request.url.path}: the answer has more than {most} bytes")
        kept = [(name, value) for name, value in response.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(response.status_code, headers=kept, content=bytes(read[:most]), request=request)

    def _error(self, response: httpx.Response) -> errors.ForgeError:
        status = response.status_code
        wait_s = retry_after(response.headers.get("Retry-After"))
        limited = status == 403 and (wait_s is not None or response.headers.get("x-ratelimit-remaining") == "0")
        if (limited or status == 429) and wait_s is None:
            reset = response.headers.get("x-ratelimit-reset", "")
            wait_s = max(0.0, int(reset) - time.time()) if reset.isdigit() and len(reset) < 12 else None
        kind = errors.ForgeThrottled if limited else _BY_STATUS.get(status, errors.ForgeProtocolError)
        said = self._said(response)
        if status >= 500:
            kind = errors.ForgeUnavailable
        elif status in {400, 422} and "already" in said and "exist" in said:
            kind = errors.ForgeConflict
        asked = f" and asks to wait {wait_s:.0f} s" if wait_s is not None else ""
        quoted = f": {said!r}" if said else ""
        return kind(f"{_asked(response)}: HTTP {status}{quoted}{asked}", retry_after=wait_s)

    def _said(self, response: httpx.Response) -> str:
        """The forge's message, in its JSON."""
        try:
            document = json.loads(response.content)
        except (ValueError, RecursionError):
            return ""
        said = document.get("message") or document.get("error") if isinstance(document, dict) else None
        more = document.get("errors") if isinstance(document, dict) else None
        text = " ".join(
            str(each) for each in (said, json.dumps(more) if more else None) if isinstance(each, str | list | dict)
        )
        return text.replace(self._token, "***")[:_MOST_SAID]


def _asked(response: httpx.Response) -> str:
    request = response.request
    return f"{request.url.netloc.decode('ascii')} answered {request.method} {request.url.path}"
