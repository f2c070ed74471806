"""Whatever Prefect's client raises for what goes wrong on the way is a named cause, without what was sent."""

from __future__ import annotations

import httpx
import pytest
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from flows.domain.errors import PrefectRefused, PrefectUnreachable
from flows.prefect_errors import prefect_errors

REQUEST = httpx.Request("POST", "http://prefect.example.com:4200/api/deployments/", content=b"secret")


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_a_cause(status: int) -> None:
    """A retry may help with 408, 429 and what is the server's own trouble, with nothing else."""
    refused = PrefectHTTPStatusError("secret", request=REQUEST, response=httpx.Response(status, text="secret"))
    with pytest.raises((PrefectRefused, PrefectUnreachable)) as caught, prefect_errors():
        raise refused
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
    with pytest.raises(PrefectUnreachable, match="PREFECT_API_URL does not answer"), prefect_errors():
        raise RuntimeError("secret") from httpx.ConnectError("refused")


def test_what_is_named_and_not_there() -> None:
    with pytest.raises(PrefectRefused, match="404"), prefect_errors():
        raise ObjectNotFound(http_exc=httpx.HTTPStatusError("", request=REQUEST, response=httpx.Response(404)))


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(RuntimeError, match="ours"), prefect_errors():
        raise RuntimeError("ours")
