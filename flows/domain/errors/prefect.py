"""The Prefect server: what a command that talks to it alone may meet."""

from __future__ import annotations

from flows.domain.errors.base import SlipwayError


class PrefectError(SlipwayError):
    pass


class PrefectUnreachable(PrefectError):
    retryable = True
    default_action = "check PREFECT_API_URL and that the server runs; `slipway up` starts an embedded one"


class PrefectRefused(PrefectError):
    default_action = "check PREFECT_API_URL, and PREFECT_API_KEY or PREFECT_API_AUTH_STRING if the server wants one"
