"""Convert a registry's answers to named causes: one table.

Codes: OCI distribution specification, "Error Codes"; UNAVAILABLE and UNKNOWN are distribution's own
(registry/api/errcode/register.go), NOT_FOUND and PRECONDITION are Harbor's.
"""

from __future__ import annotations

import json
import re

import httpx

from prefect_slipway.infra.common.reasons import reason, tls_reason, unreachable
from prefect_slipway.infra.common.retry_after import retry_after
from prefect_slipway.infra.domain.errors import (
    DigestMismatch,
    ManifestUnknown,
    RegistryError,
    RegistryForbidden,
    RegistryProtocolError,
    RegistryThrottled,
    RegistryTlsError,
    RegistryUnauthorized,
    RegistryUnavailable,
    RegistryUnreachable,
    RepositoryUnknown,
    TagImmutable,
    UploadBroken,
)
from prefect_slipway.infra.domain.registry_status import error_of_status
from prefect_slipway.infra.domain.urls import shown

BY_CODE: dict[str, type[RegistryError]] = {
    "BLOB_UNKNOWN": ManifestUnknown,
    "BLOB_UPLOAD_INVALID": UploadBroken,
    "BLOB_UPLOAD_UNKNOWN": UploadBroken,
    "DIGEST_INVALID": DigestMismatch,
    "MANIFEST_BLOB_UNKNOWN": UploadBroken,
    "MANIFEST_INVALID": RegistryProtocolError,
    "MANIFEST_UNKNOWN": ManifestUnknown,
    "NAME_INVALID": RepositoryUnknown,
    "NAME_UNKNOWN": RepositoryUnknown,
    "SIZE_INVALID": UploadBroken,
    "UNAUTHORIZED": RegistryUnauthorized,
    "DENIED": RegistryForbidden,
    "UNSUPPORTED": RegistryProtocolError,
    "TOOMANYREQUESTS": RegistryThrottled,
    "UNAVAILABLE": RegistryUnavailable,
    "NOT_FOUND": RepositoryUnknown,
}

# Registries have no common code for it. ECR: 400 TAG_INVALID "... cannot be overwritten because the tag is
# immutable"; Harbor: 412 PRECONDITION; Quay: 409 "tag is immutable and cannot be overwritten"; Docker Hub:
# 403.
_IMMUTABLE_STATUSES = {409, 412}
_IMMUTABLE_TEXT = re.compile(r"immutable|cannot be overwritten", re.IGNORECASE)
# What Go's net/http answers when it is spoken to in plain text on a TLS port.
_TLS_EXPECTED = "HTTP request to an HTTPS server"
_CODE = re.compile(r"[A-Z][A-Z_]{1,39}")


def error_of(response: httpx.Response, *, tag_write: bool = False) -> RegistryError:
    """The cause an unsuccessful answer stands for; its body must have been read.

    `tag_write`: it answers the writing of a manifest under a tag. Only the server's code is shown, not its text.
    """
    code, text = code_of(response), response.content.decode(errors="replace")
    status = f"HTTP {response.status_code}" + (f" {code}" if code else "")
    request = response.request
    cause = f"{_host(request)} answered {request.method} {request.url.path} with {status}"
    if response.is_redirect:
        # Not followed: a write, or what was asked with a password.
        cause += f", which leads to {shown(str(response.url.join(response.headers['Location'])))}"
    if tag_write and (response.status_code in _IMMUTABLE_STATUSES or _is_immutable(response, text)):
        return TagImmutable(cause)
    if response.status_code == 400 and _TLS_EXPECTED in text:
        return RegistryTlsError(
            f"{_host(request)} requires HTTPS, but the request used plain HTTP",
            action="remove --insecure-registry",
        )
    wait_s = retry_after(response.headers.get("Retry-After"))
    asked = f" and asks to wait {wait_s:.0f} s" if wait_s is not None else ""
    return classify(response.status_code, code, _challenge_error(response))(cause + asked, retry_after=wait_s)


def classify(status: int, code: str | None, challenge_error: str | None = None) -> type[RegistryError]:
    """The class for a status, the OCI code in the body and the `error` of a Bearer challenge (RFC 6750)."""
    if status >= 500:
        return error_of_status(status)
    if status == 401 and challenge_error == "insufficient_scope":
        # The token is good, but not for this: distribution answers 401 where others say 403.
        return RegistryForbidden
    if code in BY_CODE:
        return BY_CODE[code]
    return error_of_status(status)


def transport_error(error: httpx.RequestError, host: str, method: str) -> RegistryError:
    """The cause for a request that got no answer. `host`: the one that was asked."""
    if (tls := tls_reason(error)) is not None:
        return RegistryTlsError(f"no TLS connection with {host}: {tls}")
    if isinstance(error, (httpx.TooManyRedirects, httpx.DecodingError, httpx.UnsupportedProtocol)):
        return RegistryProtocolError(f"{host} gave an invalid answer: {reason(error)}")
    if method in {"PUT", "POST", "PATCH"} and not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return UploadBroken(f"the connection to {host} broke during an upload: {reason(error)}")
    return unreachable(RegistryUnreachable, f"{host} cannot be reached", error, "the registry's address")


def code_of(response: httpx.Response) -> str | None:
    """The first error's code, if it looks like one."""
    try:
        code = json.loads(response.content)["errors"][0]["code"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return code if isinstance(code, str) and _CODE.fullmatch(code) is not None else None


def _is_immutable(response: httpx.Response, text: str) -> bool:
    return response.is_client_error and _IMMUTABLE_TEXT.search(text) is not None


def _challenge_error(response: httpx.Response) -> str | None:
    found = re.search(r'\berror="?([a-z_]+)', response.headers.get("WWW-Authenticate", ""))
    return found.group(1) if found else None


def _host(request: httpx.Request) -> str:
    return request.url.netloc.decode("ascii")
