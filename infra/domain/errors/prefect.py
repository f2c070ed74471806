"""The Prefect server: what a command that talks to it alone may meet."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class PrefectError(SlipwayError):
    pass


class PrefectUnreachable(PrefectError):
    retryable = True
    default_action = "check PREFECT_API_URL and that the server runs; `slipway up` starts an embedded one"


class PrefectUnavailable(PrefectError):
    retryable = True
    default_action = "see the server's log (a full disk, its database), then run the same command again"


class PrefectUnauthorized(PrefectError):
    default_action = "set PREFECT_API_AUTH_STRING (Prefect Cloud: PREFECT_API_KEY) to what the server asks for"


class PrefectRefused(PrefectError):
    default_action = "the server's log says why"


class PrefectNotFound(PrefectError):
    default_action = "check that it was not deleted meanwhile, then run the same command again"


class PrefectProtocolError(PrefectError):
    default_action = "check PREFECT_API_URL: it is the address of a Prefect API and ends in /api"
