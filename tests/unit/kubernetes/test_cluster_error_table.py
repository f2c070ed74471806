"""From the API's answers to named causes."""

from __future__ import annotations

import json
import ssl

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import (
    ClusterError,
    ClusterForbidden,
    ClusterProtocolError,
    ClusterRefused,
    ClusterThrottled,
    ClusterTlsError,
    ClusterUnauthorized,
    ClusterUnavailable,
    ClusterUnreachable,
    NamespaceMissing,
    NamespaceTerminating,
    ObjectConflict,
    ObjectMissing,
    WatchExpired,
)
from prefect_slipway.infra.kubernetes.access.errors import Asked, answer_error, classify, transport_error

ASKED = Asked("create", "secret/registry-creds", "secrets", "team")


def status(message: str, reason: str = "Forbidden", **details: object) -> bytes:
    return json.dumps({"kind": "Status", "message": message, "reason": reason, "details": details}).encode()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, ClusterProtocolError),
        (401, ClusterUnauthorized),
        (403, ClusterForbidden),
        (404, ObjectMissing),
        (409, ObjectConflict),
        (410, WatchExpired),
        (418, ClusterProtocolError),
        (422, ClusterRefused),
        (429, ClusterThrottled),
        (500, ClusterUnavailable),
        (503, ClusterUnavailable),
        (504, ClusterUnavailable),
    ],
)
def test_every_status_has_a_class(code: int, kind: type[ClusterError]) -> None:
    assert classify(code, {}) is kind
    assert type(answer_error(ASKED, code, b"")) is kind


def test_what_rbac_forbids_is_named_by_verb_and_resource() -> None:
    """As a Role writes them, whatever was meant to be asked."""
    message = 'secrets is forbidden: User "x" cannot create resource "secrets" in API group "" in the namespace "team"'
    error = answer_error(ASKED, 403, status(message))
    assert isinstance(error, ClusterForbidden)
    assert "missing: create on secrets" in error.cause


def test_what_admission_forbids_is_no_missing_right() -> None:
    """Pod Security and quotas answer 403 as well; their reason is shown."""
    error = answer_error(ASKED, 403, status('pods "b" is forbidden: exceeded quota: q, requested: pods=1'))
    assert isinstance(error, ClusterRefused)
    assert "exceeded quota" in error.details


def test_a_namespace_that_is_absent_or_going_is_named() -> None:
    terminating = status("unable to create", causes=[{"reason": "NamespaceTerminating"}])
    assert isinstance(answer_error(ASKED, 403, terminating), NamespaceTerminating)
    assert isinstance(answer_error(ASKED, 404, status('namespaces "team" not found')), NamespaceMissing)
    assert isinstance(answer_error(ASKED, 404, status('secrets "team" not found')), ObjectMissing)


def test_how_long_to_wait_is_passed_on() -> None:
    """From the header, in seconds or as a date, else from the Status."""
    assert answer_error(ASKED, 429, b"", "Thu, 01 Jan 1970 00:00:00 GMT").retry_after == 0.0
    assert answer_error(ASKED, 429, status("", retryAfterSeconds=3), "soon").retry_after == 3.0
    assert answer_error(ASKED, 429, b"", "7").retry_after == 7.0
    assert answer_error(ASKED, 429, status("", retryAfterSeconds=3)).retry_after == 3.0
    assert answer_error(ASKED, 429, b"", "soon").retry_after is None


@settings(deadline=None)
@given(st.integers(300, 599), st.binary(max_size=200))
def test_no_answer_is_too_strange(code: int, body: bytes) -> None:
    """Any bytes are a ClusterError that names what was asked or where."""
    error = answer_error(ASKED, code, body)
    assert isinstance(error, ClusterError)
    assert "team" in error.cause


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["message", "reason", "details", "code"]), st.text() | st.none()))
def test_no_status_is_too_strange(fields: dict[str, str | None]) -> None:
    assert isinstance(answer_error(ASKED, 403, json.dumps(fields | {"kind": "Status"})), ClusterError)


def client_errors(kind: type[aiohttp.ClientError]) -> set[type[aiohttp.ClientError]]:
    return {kind}.union(*(client_errors(sub) for sub in kind.__subclasses__()))


@pytest.mark.parametrize("kind", sorted(client_errors(aiohttp.ClientError), key=str))
def test_every_request_without_an_answer_has_a_cause(kind: type[aiohttp.ClientError]) -> None:
    """All of the HTTP client's errors, by class; the host is named."""
    error = kind.__new__(kind)
    assert "api.example" in transport_error(error, "api.example").cause


def test_plain_failures_of_the_network_are_retryable() -> None:
    for error in (ConnectionResetError(), TimeoutError(), OSError("no route"), aiohttp.ServerDisconnectedError()):
        found = transport_error(error, "host")
        assert isinstance(found, ClusterUnreachable)
        assert found.retryable
    assert isinstance(transport_error(ssl.SSLError(1, "x"), "host"), ClusterTlsError)
