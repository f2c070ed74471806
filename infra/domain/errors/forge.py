"""Forges: GitHub, GitLab, Gitea and Forgejo."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class ForgeError(SlipwayError):
    pass


class ForgeUnreachable(ForgeError):
    retryable = True
    default_action = "check the forge's API (--forge-url), and that it is running; then run the same command again"


class ForgeTlsError(ForgeError):
    default_action = "pass the CA of the forge's certificate with --forge-ca FILE"


class ForgeUnauthorized(ForgeError):
    default_action = "check the token at the place named by --forge-token: it may have expired"


class ForgeForbidden(ForgeError):
    default_action = (
        "give the token permission to write releases and pull requests of this repository: on GitHub contents and pull "
        "requests, on GitLab the scope `api`, on Gitea and Forgejo `write:repository`"
    )


class ForgeRepositoryUnknown(ForgeError):
    default_action = (
        "check --forge-repository and --forge-url, and that the token may see the repository: a forge hides others"
    )


class ForgeThrottled(ForgeError):
    retryable = True
    default_action = "wait as long as the forge asks, then run the same command again"


class ForgeUnavailable(ForgeError):
    retryable = True
    default_action = "the forge failed; run the same command again later"


class ForgeConflict(ForgeError):
    retryable = True
    most_tries = 3
    default_action = "run the same command again: what exists is updated"


class ForgeRefused(ForgeError):
    default_action = "check what the forge says, and the repository's settings (immutable releases, protected tags)"


class ForgeProtocolError(ForgeError):
    default_action = "check that --forge-url is the address of the forge's REST API, and --forge its kind"
