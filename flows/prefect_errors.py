"""From what Prefect's client raises to named causes: the one converter of all that talks to a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.exceptions import ObjectNotFound

from flows.domain.errors import PrefectError, PrefectRefused, PrefectUnreachable


@contextmanager
def prefect_errors() -> Iterator[None]:
    """Within: an HTTP failure is raised as the PrefectError it is. No body is repeated: it may hold what was sent."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise refusal(error.request, error.response.status_code) from error
    except ObjectNotFound as error:
        # Prefect's client makes it of a 404 for things that are asked for by name.
        raise PrefectRefused("the Prefect server answered 404: something that is named is not there") from error
    except httpx.TransportError as error:
        raise PrefectUnreachable(f"the Prefect server {_host(error)} does not answer") from error
    except RuntimeError as error:
        # Prefect's client asks for the server's version first, and raises this when nobody answers.
        if isinstance(error.__cause__, httpx.TransportError):
            raise PrefectUnreachable(f"the Prefect server {_host(error.__cause__)} does not answer") from error
        raise


def refusal(request: httpx.Request, status: int) -> PrefectError:
    """The cause behind a status of 400 and more."""
    kind = PrefectUnreachable if status >= 500 or status in {408, 429} else PrefectRefused
    return kind(
        f"the Prefect server {request.url.netloc.decode()} answered {status} to {request.method} {_path(request)}"
    )


def _path(request: httpx.Request) -> str:
    return request.url.path


def _host(error: httpx.TransportError) -> str:
    try:
        return error.request.url.netloc.decode()
    except RuntimeError:
        return "of PREFECT_API_URL"
