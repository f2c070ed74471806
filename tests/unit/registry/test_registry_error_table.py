from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prefect_slipway.infra.common.retry_after import retry_after
from prefect_slipway.infra.domain.errors import (
    RegistryError,
    RegistryForbidden,
    RegistryProtocolError,
    RegistryThrottled,
    RegistryTlsError,
    RegistryUnauthorized,
    RegistryUnavailable,
    RegistryUnreachable,
    UploadBroken,
)
from prefect_slipway.infra.registry.errors import BY_CODE, classify, error_of, transport_error

# OCI distribution specification 1.1, "Error Codes".
SPECIFIED = {
    *("BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"),
    *("MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID"),
    *("UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS"),
}


def subclasses(cls: type[httpx.RequestError]) -> set[type[httpx.RequestError]]:
    return {cls}.union(*(subclasses(sub) for sub in cls.__subclasses__()))


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> httpx.Response:
    request = httpx.Request("GET", "https://registry.example.com/v2/app/manifests/1?token=hush")
    return httpx.Response(status, content=body, headers=headers, request=request)


def test_every_specified_code_has_a_class() -> None:
    """The table knows all error codes of the specification."""
    assert set(BY_CODE) >= SPECIFIED


@pytest.mark.parametrize("code", [None, "SOMETHING_NEW", *sorted(BY_CODE)])
def test_every_status_has_a_class(code: str | None) -> None:
    """Whatever the status, with or without a code, the cause is a RegistryError; 5xx and 429 may be retried."""
    for status in range(300, 600):
        assert issubclass(classify(status, code), RegistryError)
        if status >= 500:
            assert classify(status, code).retryable
    assert classify(429, None) is RegistryThrottled
    assert classify(401, None) is RegistryUnauthorized
    assert classify(403, None) is RegistryForbidden
    assert classify(418, None) is RegistryProtocolError
    assert classify(401, "UNAUTHORIZED", "insufficient_scope") is RegistryForbidden


@pytest.mark.parametrize("kind", sorted(subclasses(httpx.RequestError), key=str))
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
def test_every_request_without_an_answer_has_a_cause(kind: type[httpx.RequestError], method: str) -> None:
    """All of httpx's request errors become a RegistryError that names the host."""
    error = transport_error(kind("secret detail"), "registry.example.com", method)
    assert isinstance(error, (RegistryUnreachable, UploadBroken, RegistryProtocolError))
    assert "registry.example.com" in str(error)
    assert "secret detail" not in str(error)


def test_a_connection_that_breaks_in_a_write_is_a_broken_upload() -> None:
    """Reading and writing differ; not getting through at all is no upload yet."""
    assert isinstance(transport_error(httpx.ReadError(""), "host", "PUT"), UploadBroken)
    assert isinstance(transport_error(httpx.ReadError(""), "host", "GET"), RegistryUnreachable)
    assert isinstance(transport_error(httpx.ConnectError(""), "host", "PUT"), RegistryUnreachable)


def test_tls_trouble_is_found_below_the_connection_error() -> None:
    """OpenSSL's error is the cause's cause."""
    wrapped = httpx.ConnectError("")
    wrapped.__cause__ = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert isinstance(transport_error(wrapped, "host", "GET"), RegistryTlsError)
    wrapped.__cause__ = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")
    assert isinstance(transport_error(wrapped, "host", "GET"), RegistryUnreachable)


def test_only_codes_are_shown() -> None:
    """Neither the server's text, nor something that is no code, nor the query gets into a message."""
    body = b'{"errors": [{"code": "DENIED", "message": "password=hush"}]}'
    assert "hush" not in str(error_of(answer(403, body)))
    assert "HTTP 403 DENIED" in str(error_of(answer(403, body)))
    assert "hush" not in str(error_of(answer(400, b'{"errors": [{"code": "hush hush"}]}')))


@given(st.binary(max_size=200), st.sampled_from([400, 401, 403, 404, 409, 412, 429, 500, 503]))
def test_no_body_is_too_strange(body: bytes, status: int) -> None:
    """Any bytes in an answer's body lead to a RegistryError."""
    assert isinstance(error_of(answer(status, body), tag_write=True), RegistryError)


def test_plain_http_to_a_tls_port_is_recognised() -> None:
    """Go's answer to plain HTTP on its TLS port is a matter of --insecure-registry."""
    error = error_of(answer(400, b"Client sent an HTTP request to an HTTPS server.\n"))
    assert isinstance(error, RegistryTlsError)


def test_retry_after_is_seconds_or_a_date() -> None:
    """Both forms give seconds from now; a date in the past is no wait, nonsense is unknown."""
    now = datetime.now(UTC)
    assert retry_after("17") == 17.0
    assert 50 < (retry_after(format_datetime(now + timedelta(seconds=60), usegmt=True)) or 0) <= 60
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after("soon") is None
    assert retry_after(None) is None
    unavailable = error_of(answer(503, headers={"Retry-After": "5"}))
    assert isinstance(unavailable, RegistryUnavailable)
    assert unavailable.retry_after == 5.0


@given(st.text(max_size=40))
@example("0\x1f")
def test_no_retry_after_is_too_strange(value: str) -> None:
    """Any text gives None or a number of seconds that can be waited."""
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0
