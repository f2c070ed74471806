"""Whatever Prefect's client raises for what goes wrong on the way is a named cause, without what was sent."""

from __future__ import annotations

import socket

import httpx
import pytest
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

import prefect_slipway.flows.server.errors
from prefect_slipway.flows.server.errors import check_server, is_prefects, prefect_errors
from prefect_slipway.infra.domain.errors import (
    PrefectError,
    PrefectNotFound,
    PrefectProtocolError,
    PrefectRefused,
    PrefectUnauthorized,
    PrefectUnavailable,
    PrefectUnreachable,
)

REQUEST = httpx.Request("POST", "http://prefect.example.com:4200/api/deployments/", content=b"secret")


def status_error(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("secret", request=REQUEST, response=httpx.Response(status, text="secret"))


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_a_cause(status: int) -> None:
    """A retry may help with 408, 429 and what is the server's own trouble, with nothing else."""
    refused = PrefectHTTPStatusError("secret", request=REQUEST, response=httpx.Response(status, text="secret"))
    with pytest.raises(PrefectError) as caught, prefect_errors():
        raise refused
    kinds = {401: PrefectUnauthorized, 403: PrefectUnauthorized, 404: PrefectNotFound}
    assert type(caught.value) is kinds.get(status, PrefectUnavailable if caught.value.retryable else PrefectRefused)
    assert caught.value.retryable == (status >= 500 or status in {408, 429})
    assert caught.value.cause == (
        f"the Prefect server prefect.example.com:4200 answered {status} to POST /api/deployments/"
    )


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_no_answer_is_worth_a_retry(kind: type[httpx.TransportError]) -> None:
    with pytest.raises(PrefectUnreachable, match=r"prefect\.example\.com:4200 does not answer"), prefect_errors():
        raise kind("secret", request=REQUEST)


def test_the_version_check_before_the_first_request_is_no_answer_either() -> None:
    """Prefect's client hides the cause behind a RuntimeError there."""
    with pytest.raises(PrefectUnreachable, match="does not answer"), prefect_errors():
        raise RuntimeError("Failed to reach API at http://prefect.example.com/api") from httpx.ConnectError("refused")


def test_who_does_not_know_its_version_is_no_prefect_server() -> None:
    """A page in JSON's place, or nothing at the path that each server has."""
    for cause in (ValueError("Expecting value"), status_error(404)):
        with pytest.raises(PrefectProtocolError), prefect_errors():
            raise RuntimeError("Failed to reach API at http://prefect.example.com/api") from cause


def test_what_is_named_and_not_there() -> None:
    with pytest.raises(PrefectNotFound, match="does not exist"), prefect_errors():
        raise ObjectNotFound(http_exc=status_error(404))


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing: Prefect's client alone would wait for minutes."""
    monkeypatch.setattr(prefect_slipway.flows.server.errors, "_FIRST_ANSWER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with (
            temporary_settings({PREFECT_API_URL: url}),
            pytest.raises(PrefectUnreachable, match="does not answer within"),
        ):
            await check_server()


def test_another_servers_trouble_is_not_prefects() -> None:
    """What a registry's client raised and nobody named stays a bug."""
    with temporary_settings({PREFECT_API_URL: "http://prefect.example.com:4200/api"}):
        assert is_prefects(httpx.ConnectError("", request=REQUEST))
        assert not is_prefects(httpx.ConnectError("", request=httpx.Request("GET", "http://registry.example.com/v2/")))
        assert not is_prefects(httpx.ConnectError(""))


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(RuntimeError, match="ours"), prefect_errors():
        raise RuntimeError("ours")
