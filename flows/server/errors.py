"""Convert the errors of Prefect's client to named causes, in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import httpx

from prefect_slipway.infra.common.reasons import reason, tls_reason, unreachable
from prefect_slipway.infra.domain.errors import (
    PrefectError,
    PrefectNotFound,
    PrefectProtocolError,
    PrefectRefused,
    PrefectUnauthorized,
    PrefectUnavailable,
    PrefectUnreachable,
)

if TYPE_CHECKING:
    # Imported when it is used: the quick client (`quick`) mostly does without.
    from prefect.client.orchestration import PrefectClient
    from prefect.context import SettingsContext

_BY_STATUS: dict[int, type[PrefectError]] = {
    401: PrefectUnauthorized,
    403: PrefectUnauthorized,
    404: PrefectNotFound,
    408: PrefectUnavailable,
    429: PrefectUnavailable,
}

# The beginnings of the errors of Prefect 3.9.1's client when it asks for the server's version (client/orchestration,
# raise_for_api_version_mismatch); its own cause is the RuntimeError's.
_NOT_REACHED = "Failed to reach API at"
_OTHER_VERSION = "Found incompatible versions: "

_TLS_ACTION = "set PREFECT_API_SSL_CERT_FILE to its CA, or use http:// if it does not use TLS"

# Prefect's client tries again after 2, 4, 8 ... s where a server (or a gateway) answers 429, 502 or 503.
_FIRST_RETRIES = 2
_FIRST_ANSWER_S = 20.0


@asynccontextmanager
async def prefect_client() -> AsyncIterator[PrefectClient]:
    """The client of this event loop, whose server was reached. Flows inside use it as well.

    Raises PrefectErrors, at once if there is no server: a run in progress already waits for one for minutes
    (PREFECT_CLIENT_MAX_RETRIES). What is raised within stays as it is.
    """
    from prefect.context import AsyncClientContext

    async with AsyncExitStack() as exits:
        with prefect_errors(), _few_retries():
            try:
                async with asyncio.timeout(_FIRST_ANSWER_S):
                    context = await exits.enter_async_context(AsyncClientContext.get_or_create())
            except TimeoutError as error:
                raise PrefectUnreachable(
                    f"the Prefect server {_server()} does not answer within {_FIRST_ANSWER_S:g} s"
                ) from error
        yield context.client


def _few_retries() -> SettingsContext:
    """What `temporary_settings` would give, which reads every source of settings again for it: 25 ms each time."""
    from prefect.context import SettingsContext, get_settings_context

    now = get_settings_context()
    client = now.settings.client.model_copy(update={"max_retries": _FIRST_RETRIES})
    return SettingsContext(profile=now.profile, settings=now.settings.model_copy(update={"client": client}))


async def check_server() -> None:
    """Check that the server answers. Raises PrefectErrors."""
    async with prefect_client():
        pass


@contextmanager
def prefect_errors() -> Iterator[None]:
    """Within: raise errors of Prefect's client as PrefectErrors."""
    try:
        yield
    except Exception as error:
        cause = prefect_cause(error)
        if cause is None:
            raise
        raise cause from error


def prefect_cause(error: BaseException) -> PrefectError | None:
    """The cause of an error of Prefect's client, None for anything else.

    No body is repeated: it may hold what was sent.
    """
    from prefect.exceptions import ObjectNotFound

    if isinstance(error, httpx.HTTPStatusError):
        return refusal(error.request, error.response.status_code)
    if isinstance(error, ObjectNotFound):
        # Prefect's client makes it of a 404 for things that are asked for by name.
        return PrefectNotFound(f"a requested object does not exist on the Prefect server {_server()}")
    if isinstance(error, httpx.TransportError):
        what = f"the Prefect server {_host(error)} does not answer"
        if tls_reason(error) is not None:
            return PrefectUnreachable(f"{what}: {reason(error)}", action=_TLS_ACTION)
        return unreachable(PrefectUnreachable, what, error, "PREFECT_API_URL")
    if isinstance(error, RuntimeError) and str(error).startswith(_NOT_REACHED):
        return _not_reached(error.__cause__)
    if isinstance(error, RuntimeError) and str(error).startswith(_OTHER_VERSION):
        return PrefectProtocolError(
            f"the Prefect server {_server()} is of another major version than Slipway's client",
            action="use a server of the same major version",
            details=str(error).removeprefix(_OTHER_VERSION),
        )
    return None


def is_prefects(error: BaseException) -> bool:
    """Whether Prefect's client raised the error, and not a client of another server."""
    if isinstance(error, httpx.TransportError):
        from prefect.settings import PREFECT_API_URL

        try:
            return str(error.request.url).startswith(PREFECT_API_URL.value() or "none")
        except RuntimeError:  # no request is known
            return False
    return prefect_cause(error) is not None


def refusal(request: httpx.Request, status: int) -> PrefectError:
    """The cause of a status of 400 or more."""
    kind = PrefectUnavailable if status >= 500 else _BY_STATUS.get(status, PrefectRefused)
    return kind(
        f"the Prefect server {request.url.netloc.decode()} answered {status} to {request.method} {request.url.path}"
    )


def _not_reached(cause: BaseException | None) -> PrefectError:
    """Why the server's version, which is requested first, is unknown."""
    if isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code == 404:
        url = cause.request.url
        return PrefectProtocolError(f"there is no Prefect API at {url.netloc.decode()}: it answered 404 to {url.path}")
    found = prefect_cause(cause) if cause is not None else None
    return found or PrefectProtocolError(f"the server at {_server()} is not a Prefect API")


def _host(error: httpx.TransportError) -> str:
    try:
        return error.request.url.netloc.decode()
    except RuntimeError:
        return _server()


def _server() -> str:
    """HOST:PORT of PREFECT_API_URL; a password in it stays out."""
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    return httpx.URL(url).netloc.decode() if url else "of PREFECT_API_URL"
