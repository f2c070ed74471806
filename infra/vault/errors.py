"""Convert errors of hvac and requests to named causes: one table, and the differences of a login.

hvac maps a status to a class (hvac/exceptions.py, `VaultError.from_status`): 400 InvalidRequest, 401
Unauthorized, 403 Forbidden, 404 InvalidPath, 500, 501 VaultNotInitialized, 502
BadGateway, 503 VaultDown, anything else UnexpectedError.
"""

from __future__ import annotations

import hvac.exceptions as hvac_errors
import requests.exceptions as requests_errors

from prefect_slipway.infra.common.causes import Cause, first
from prefect_slipway.infra.common.proxies import unusable_proxy
from prefect_slipway.infra.common.reasons import unreachable
from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.vault.http import RedirectRefused, StatusTold

# The first class that fits counts: SSLError is a ConnectionError, and every class its own library's base.
_TABLE: tuple[Cause[type[Exception], errors.VaultError], ...] = (
    Cause(hvac_errors.Forbidden, errors.VaultDenied, "denies it (HTTP 403)"),
    Cause(hvac_errors.Unauthorized, errors.VaultDenied, "denies it (HTTP 401)"),
    Cause(hvac_errors.InvalidPath, errors.SecretMissing, "has nothing there (HTTP 404)"),
    Cause(hvac_errors.VaultDown, errors.VaultSealed, "is sealed or has no leader (HTTP 503)"),
    Cause(hvac_errors.VaultNotInitialized, errors.VaultSealed, "is not initialised (HTTP 501)"),
    Cause(hvac_errors.InternalServerError, errors.VaultUnreachable, "failed (HTTP 500)"),
    Cause(hvac_errors.BadGateway, errors.VaultUnreachable, "cannot be reached by its gateway (HTTP 502)"),
    Cause(hvac_errors.InvalidRequest, errors.VaultProtocolError, "does not understand the request (HTTP 400)"),
    Cause(hvac_errors.VaultError, errors.VaultProtocolError, "gave an unexpected answer"),
    Cause(requests_errors.SSLError, errors.VaultTlsError, "has a certificate that is not trusted here"),
    Cause(requests_errors.Timeout, errors.VaultUnreachable, "did not answer in time"),
    Cause(requests_errors.ConnectionError, errors.VaultUnreachable, "cannot be reached"),
    Cause(requests_errors.ChunkedEncodingError, errors.VaultUnreachable, "did not complete its answer"),
    Cause(requests_errors.RequestException, errors.VaultProtocolError, "gave an answer that cannot be read"),
)

# Statuses that hvac does not know (developer.hashicorp.com/vault/api-docs/system/health): a load balancer may pass them
# on, as it may lead to a node that is not the active one.
_ACTIVE = "set VAULT_ADDR to the active node, or to a load balancer in front of it"
_STATUSES: tuple[Cause[int, errors.VaultError], ...] = (
    Cause(429, errors.VaultThrottled, "limits requests, or is a standby"),
    Cause(472, errors.VaultInactive, "is a disaster-recovery secondary, which serves no requests"),
    Cause(473, errors.VaultSealed, "is a performance standby that does not serve the request", _ACTIVE),
    Cause(474, errors.VaultSealed, "is a standby that cannot reach the active node", _ACTIVE),
    Cause(530, errors.VaultInactive, "was removed from its cluster"),
)

# What a login endpoint says about role, secret id or service account (OpenBao: 400; Kubernetes auth: 403; an
# auth method that is not mounted: 403 or 404).
_LOGIN_REFUSALS = (
    hvac_errors.InvalidRequest,
    hvac_errors.Unauthorized,
    hvac_errors.Forbidden,
    hvac_errors.InvalidPath,
)

LIBRARY_ERRORS = (hvac_errors.VaultError, requests_errors.RequestException)
"""All that hvac's calls raise on an answer, or on none."""


def vault_error(error: Exception, address: str, doing: str, *, login: bool = False) -> errors.SlipwayError:
    """The cause for one of LIBRARY_ERRORS. `doing`: "reading vault:secret/app"; the server's text is dropped."""
    if login and isinstance(error, _LOGIN_REFUSALS):
        return errors.VaultLoginRefused(f"{doing}: Vault at {address} refuses the login ({type(error).__name__})")
    if isinstance(error, requests_errors.InvalidURL) and (proxy := unusable_proxy()):
        return proxy
    if isinstance(error, StatusTold):
        cause = first(_STATUSES, error.status.__eq__)
        assert cause is not None, "it is raised for these alone"
        told = f"{doing}: Vault at {address} {cause.what} (HTTP {error.status})"
        return cause.kind(told, action=cause.action, retry_after=error.retry_after)
    if isinstance(error, RedirectRefused):
        return errors.VaultProtocolError(
            f"{doing}: Vault at {address} redirects to {error.where}, which Slipway does not follow: {error.why}",
            action="set VAULT_ADDR to the address that serves requests",
        )
    if (found := first(_TABLE, lambda library: isinstance(error, library))) is not None:
        if isinstance(error, requests_errors.ConnectionError):
            # Also of a certificate, and of an answer that did not come.
            return unreachable(found.kind, f"{doing}: Vault at {address} {found.what}", error, "VAULT_ADDR")
        return found.kind(f"{doing}: Vault at {address} {found.what}")
    raise TypeError(f"{type(error).__name__} is not an error of hvac or requests") from error
