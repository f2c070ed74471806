"""Registry errors in a daemon's messages as named causes: a table by words, and the common one by HTTP status."""

from __future__ import annotations

import re

from prefect_slipway.infra.common.causes import Cause, first
from prefect_slipway.infra.common.reasons import NO_HOST, NO_NAME_SERVER, once
from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.domain.registry_status import error_of_status

# "unexpected status from PUT request to http://...: 403 Forbidden" (containerd core/remotes/docker/errors), before
# containerd 1.7 "unexpected status: 403 Forbidden", for tokens "failed to fetch oauth token: ...: 401 Unauthorized".
_STATUS = re.compile(r"unexpected status\b.*?:\s*([1-5]\d\d)\b", re.DOTALL)
_METHOD = re.compile(r"unexpected status from ([A-Z]+) request")

PLAIN_HTTP = "it speaks plain HTTP"

# The builder connects, not this machine.
_NAME = "check the registry's host name, and the DNS of the builder"
_PORT = "check the registry's port, and that it is running where the builder can reach it"
_WAY = "check the network of the builder: firewalls and proxies between it and the registry"

# In this order: a refused token request may also mention the connection.
BY_WORDS: tuple[Cause[str, errors.RegistryError], ...] = (
    Cause(r"x509|certificate", errors.RegistryTlsError, "its certificate is not trusted"),
    Cause(r"HTTP response to HTTPS client|does not look like a TLS handshake", errors.RegistryTlsError, PLAIN_HTTP),
    Cause(r"\btls: ", errors.RegistryTlsError, "the TLS handshake failed"),
    Cause(r"toomanyrequests", errors.RegistryThrottled, "too many requests"),
    Cause(r"insufficient_scope|access denied|\bdenied\b", errors.RegistryForbidden, "the credentials lack a scope"),
    Cause(
        r"no basic auth credentials|authentication required|authorization failed|unauthorized",
        errors.RegistryUnauthorized,
        "it requires other credentials",
    ),
    Cause(r"name[ _]unknown|repository name not known|name_unknown", errors.RepositoryUnknown, "no such repository"),
    # What containerd 2 gives of a registry's JSON (core/remotes/docker/errdesc.go): the codes it knows and the
    # message, no status.
    Cause(r"\bunavailable: ", errors.RegistryUnavailable, "it is unavailable"),
    Cause(r"\bunknown: unknown error", errors.RegistryUnavailable, "an error of its own"),
    Cause(r"blob upload (?:unknown|invalid)", errors.UploadBroken, "the upload broke off"),
    Cause(r"connection refused", errors.RegistryUnreachable, "connection refused", _PORT),
    Cause(r"no such host", errors.RegistryUnreachable, NO_HOST, _NAME),
    Cause(r"name resolution|server misbehaving", errors.RegistryUnreachable, NO_NAME_SERVER, _NAME),
    Cause(r"unreachable|no route to host", errors.RegistryUnreachable, "no network route to it", _WAY),
    Cause(r"timeout|deadline exceeded", errors.RegistryUnreachable, "timed out", _WAY),
    Cause(
        r"\bEOF\b|connection reset|broken pipe|closed network connection|short (?:read|write)|failed commit",
        errors.UploadBroken,
        "the upload broke off",
    ),
)


def registry_error(host: str, what: str, text: str) -> errors.RegistryError:
    """The cause in `text`, the daemon's words about `what` (such as "pushing team/app") at the registry `host`.

    Nothing of `text` is repeated but an HTTP status and method.
    """
    if match := _STATUS.search(text):
        status = int(match[1])
        method = _METHOD.search(text)
        asked = f" to {method[1]}" if method else ""
        kind = errors.RepositoryUnknown if status == 404 else error_of_status(status)
        if status == 400 and method is not None and method[1] == "PUT":
            # DIGEST_INVALID or BLOB_UNKNOWN: distribution 2.8 writes in place what another release pushes as well.
            kind = errors.UploadBroken
        return kind(f"registry {host}: {what} failed (HTTP {status}{asked})")
    if (cause := first(BY_WORDS, lambda words: re.search(words, text, re.IGNORECASE))) is not None:
        found = cause.kind(f"registry {host}: {what} failed ({cause.what})", action=cause.action)
        return once(found) if cause.what == NO_HOST else found
    return errors.RegistryProtocolError(f"registry {host}: {what} failed, and the daemon gives no reason")
