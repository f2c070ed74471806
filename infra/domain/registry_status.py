"""The meaning of a registry's HTTP status if nothing else is known of its answer: one table for all callers.

RFC 9110, section 15; OCI distribution specification, "Error Codes".
"""

from __future__ import annotations

from prefect_slipway.infra.domain.errors import (
    RegistryError,
    RegistryForbidden,
    RegistryProtocolError,
    RegistryThrottled,
    RegistryUnauthorized,
    RegistryUnavailable,
    UploadBroken,
)

NO_CREDENTIALS = "pass credentials for {host}: --credentials [{host}=]vault:MOUNT/PATH"
"""What to do where a registry refuses who came without any."""

BY_STATUS: dict[int, type[RegistryError]] = {
    401: RegistryUnauthorized,
    403: RegistryForbidden,
    408: RegistryUnavailable,
    416: UploadBroken,
    429: RegistryThrottled,
}


def error_of_status(status: int) -> type[RegistryError]:
    """The cause of an unsuccessful answer. The caller interprets 404: no repository, or no registry at all."""
    return RegistryUnavailable if status >= 500 else BY_STATUS.get(status, RegistryProtocolError)
