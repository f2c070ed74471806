"""Convert the API's answers, or their absence, to named causes: one table.

Answers: `Status` of apimachinery (pkg/apis/meta/v1/types.go) with `code`, `reason` and `details`. What is forbidden by
RBAC and what is forbidden by admission (Pod Security, quota) both are 403 Forbidden; RBAC's message alone says
`cannot VERB resource "RESOURCE"`.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import dataclass
from typing import Any

import aiohttp

from prefect_slipway.infra.common.reasons import reason, remedy, tls_reason, unreachable
from prefect_slipway.infra.common.retry_after import retry_after
from prefect_slipway.infra.domain import errors

_BY_STATUS: dict[int, type[errors.ClusterError]] = {
    400: errors.ClusterProtocolError,
    401: errors.ClusterUnauthorized,
    403: errors.ClusterForbidden,
    404: errors.ObjectMissing,
    408: errors.ClusterUnavailable,
    409: errors.ObjectConflict,
    410: errors.WatchExpired,
    422: errors.ClusterRefused,
    429: errors.ClusterThrottled,
}
_REASON = re.compile(r"[A-Za-z]{1,60}")
_NO_NAMESPACE = re.compile(r'^namespaces "[^"]*" not found$')
# apiserver/pkg/endpoints/handlers/responsewriters/errors.go, forbiddenMessage.
_RBAC = re.compile(r'\bcannot (?P<verb>[a-z]+) resource "(?P<resource>[a-z0-9./-]+)"')
# What the API server takes for a user who says nothing of himself (apiserver, pkg/authentication/user, Anonymous).
_ANONYMOUS = 'User "system:anonymous"'
NO_LOGIN = (
    "the kubeconfig's user has no credentials: add them (`kubectl config view --minify`), or choose another context"
)
_CAUSE_TERMINATING = "NamespaceTerminating"

TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
"""All that a request raises that got no answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The API request, for messages. `verb`: as in a Role; `what`: `secret/registry-creds`."""

    verb: str
    what: str
    resource: str
    namespace: str


def answer_error(asked: Asked, code: int, body: bytes | str, wait: str | None = None) -> errors.ClusterError:
    """The cause an unsuccessful answer stands for.

    `wait`: the header Retry-After. The API's own message names objects and rules, never their content; it is shown as
    details where it alone says what is wrong (admission, validation).
    """
    status = _status(body)
    message = str(status.get("message") or "")
    reason = str(status.get("reason") or "")
    shown = f"HTTP {code}" + (f" {reason}" if _REASON.fullmatch(reason) else "")
    cause = f"{asked.verb} {asked.what} in namespace {asked.namespace}: the API server answered {shown}"
    kind = classify(code, status)
    if kind is errors.ClusterUnauthorized and code == 403:
        return errors.ClusterUnauthorized(f"{cause} to system:anonymous", action=NO_LOGIN)
    if kind is errors.ClusterForbidden:
        found = _RBAC.search(message)
        missing = f"{found['verb']} on {found['resource']}" if found else f"{asked.verb} on {asked.resource}"
        return errors.ClusterForbidden(
            f"{cause}; missing: {missing}", action=f"grant {missing} (the whole Role: infra/kubernetes/role.yaml)"
        )
    if kind is errors.NamespaceMissing:
        return errors.NamespaceMissing(f"the namespace {asked.namespace} does not exist")
    if kind is errors.NamespaceTerminating:
        return errors.NamespaceTerminating(f"namespace {asked.namespace} is being deleted")
    if kind is errors.ClusterRefused:
        return errors.ClusterRefused(cause, details=message[:2000])
    return kind(cause, retry_after=_seconds(wait, status))


def classify(code: int, status: dict[str, Any]) -> type[errors.ClusterError]:
    """The class for an HTTP status and the `Status` object in its body ({} for none)."""
    message = str(status.get("message") or "")
    causes = {cause.get("reason") for cause in _details(status).get("causes") or () if isinstance(cause, dict)}
    if code == 403 and _CAUSE_TERMINATING in causes:
        return errors.NamespaceTerminating
    if code == 403 and _ANONYMOUS in message:
        return errors.ClusterUnauthorized
    if code == 403 and message and not _RBAC.search(message):
        return errors.ClusterRefused
    if code == 404 and _NO_NAMESPACE.match(message):
        return errors.NamespaceMissing
    if code >= 500:
        return errors.ClusterUnavailable
    return _BY_STATUS.get(code, errors.ClusterProtocolError)


def transport_error(error: BaseException, host: str) -> errors.ClusterError:
    """The cause for a request that got no answer from `host`."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return errors.ClusterTlsError(
            f"no TLS connection with the API server at {host}: {tls_reason(error) or reason(error)}"
        )
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        action = remedy(error, "the kubeconfig")
        return errors.ClusterUnreachable(f"the API server at {host} did not answer in time", action=action)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.TooManyRedirects | aiohttp.ContentTypeError):
        return errors.ClusterProtocolError(f"{host} gave an invalid answer: {reason(error)}")
    return unreachable(
        errors.ClusterUnreachable, f"the API server at {host} cannot be reached", error, "the kubeconfig"
    )


def _status(body: bytes | str) -> dict[str, Any]:
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) and status.get("kind", "Status") == "Status" else {}


def _details(status: dict[str, Any]) -> dict[str, Any]:
    details = status.get("details")
    return details if isinstance(details, dict) else {}


def _seconds(header: str | None, status: dict[str, Any]) -> float | None:
    if (asked := retry_after(header)) is not None:
        return asked
    seconds = _details(status).get("retryAfterSeconds")
    return float(seconds) if isinstance(seconds, int) else None
