"""What Vault's answers to a failed call say, beyond their status."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors import VaultError


def denied_by_policy(error: VaultError) -> bool:
    """Whether Vault knows the token and its policies deny the call, where the answer shows it.

    What policies say comes as a list of errors (Vault's request_handling.go, `checkToken`; go-multierror's text is
    "1 error occurred"); of a token it does not know Vault says "permission denied" alone, or "invalid token" as well.
    """
    return says(error, "error occurred") and not says(error, "invalid token")


def says(error: VaultError, phrase: str) -> bool:
    """Whether Vault's answer has this phrase. Its text is for recognition only and never shown."""
    return phrase in str(getattr(error.__cause__, "text", None) or "")
