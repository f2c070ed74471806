from __future__ import annotations

import inspect

import hvac.exceptions
import pytest
import requests.exceptions

from prefect_slipway.infra.domain.errors import (
    SecretMissing,
    VaultDenied,
    VaultError,
    VaultInactive,
    VaultLoginRefused,
    VaultProtocolError,
    VaultSealed,
    VaultThrottled,
    VaultTlsError,
    VaultUnreachable,
)
from prefect_slipway.infra.vault.errors import LIBRARY_ERRORS, vault_error
from prefect_slipway.infra.vault.http import StatusTold

ADDRESS = "https://vault.example.com"


def exceptions_of(module: object) -> list[type[Exception]]:
    return [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, LIBRARY_ERRORS) and not issubclass(cls, Warning)
    ]


def made(cls: type[Exception]) -> Exception:
    if cls is requests.exceptions.JSONDecodeError:
        return requests.exceptions.JSONDecodeError("hush", "hush", 0)
    return cls("hush")


@pytest.mark.parametrize("login", [False, True])
@pytest.mark.parametrize(
    "kind", [*exceptions_of(hvac.exceptions), *exceptions_of(requests.exceptions)], ids=lambda cls: cls.__name__
)
def test_every_exception_of_hvac_and_requests_has_a_cause(kind: type[Exception], login: bool) -> None:
    """All of them become a VaultError with the address and what was done, without the library's text."""
    error = vault_error(made(kind), ADDRESS, "reading vault:secret/app", login=login)
    assert isinstance(error, VaultError)
    assert ADDRESS in error.cause
    assert "reading vault:secret/app" in error.cause
    assert "hush" not in str(error)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, VaultProtocolError),
        (401, VaultDenied),
        (403, VaultDenied),
        (404, SecretMissing),
        (405, VaultProtocolError),
        (500, VaultUnreachable),
        (501, VaultSealed),
        (502, VaultUnreachable),
        (503, VaultSealed),
    ],
)
def test_each_status_has_its_cause(status: int, expected: type[VaultError]) -> None:
    """hvac's class for a status leads to the cause that the status stands for."""
    assert type(vault_error(hvac.exceptions.VaultError.from_status(status), ADDRESS, "reading")) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(429, VaultThrottled), (472, VaultInactive), (473, VaultSealed), (474, VaultSealed), (530, VaultInactive)],
)
def test_each_status_of_a_node_that_is_not_active_has_its_cause(status: int, expected: type[VaultError]) -> None:
    """hvac does not know them, and drops what a server says of how long to wait."""
    error = vault_error(StatusTold(status, 7.0), ADDRESS, "reading vault:secret/app")
    assert type(error) is expected
    assert f"(HTTP {status})" in error.cause
    assert error.retry_after == 7.0


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_login_is_told_as_such(status: int) -> None:
    """Vault's refusals of a login have many statuses and one cause."""
    error = vault_error(hvac.exceptions.VaultError.from_status(status), ADDRESS, "logging in", login=True)
    assert type(error) is VaultLoginRefused


def test_tls_and_timeouts_are_told_apart_from_other_connection_errors() -> None:
    """requests' SSLError and ConnectTimeout are ConnectionErrors as well."""
    assert type(vault_error(requests.exceptions.SSLError(), ADDRESS, "x")) is VaultTlsError
    for kind in (requests.exceptions.ConnectTimeout, requests.exceptions.ReadTimeout):
        assert "in time" in vault_error(kind(), ADDRESS, "x").cause


def test_other_exceptions_are_bugs() -> None:
    """What is no error of these libraries is not renamed."""
    with pytest.raises(TypeError):
        vault_error(KeyError("auth"), ADDRESS, "x")
