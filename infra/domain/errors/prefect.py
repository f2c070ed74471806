"""The Prefect server, for commands that use it directly."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class PrefectError(SlipwayError):
    pass


class PrefectUnreachable(PrefectError):
    retryable = True
    default_action = "check PREFECT_API_URL and that the server is running; `slipway up` starts an embedded one"


class PrefectUnavailable(PrefectError):
    retryable = True
    default_action = "look at the server's log (a full disk, its database), then run the same command again"


class PrefectUnauthorized(PrefectError):
    default_action = "set PREFECT_API_AUTH_STRING (Prefect Cloud: PREFECT_API_KEY) to the server's credential"


class PrefectRefused(PrefectError):
    default_action = "look at the server's log for the reason"


class PrefectNotFound(PrefectError):
    default_action = "check that nobody deleted it in the meantime, then run the same command again"


class PrefectProtocolError(PrefectError):
    default_action = "check PREFECT_API_URL: it must be the address of a Prefect API, which ends in /api"
