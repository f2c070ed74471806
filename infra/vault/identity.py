"""Get the signed token that says who runs this."""

from __future__ import annotations

from prefect_slipway.infra.common.reasons import unreachable
from prefect_slipway.infra.domain.errors import VaultLoginRefused, VaultUnreachable
from prefect_slipway.infra.vault.access import GithubToken, GivenToken, TokenFile

_TIMEOUT_S = 15.0
_REFUSED = "GitHub Actions issued no identity token"


def identity_token(identity: GivenToken | TokenFile | GithubToken) -> str:
    """The token as it is now. Raises VaultLoginRefused, VaultUnreachable."""
    if isinstance(identity, GivenToken):
        return identity.token
    if isinstance(identity, GithubToken):
        return _of_github(identity)
    try:
        return identity.path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise VaultLoginRefused(f"the token file {identity.path} cannot be read ({why})") from error


def _of_github(identity: GithubToken) -> str:
    import httpx  # nobody else pays for it

    asked = {"audience": identity.audience} if identity.audience else {}
    headers = {"Authorization": f"Bearer {identity.request_token}"}
    try:
        answer = httpx.get(httpx.URL(identity.url).copy_merge_params(asked), headers=headers, timeout=_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreachable(VaultUnreachable, _REFUSED, error, "ACTIONS_ID_TOKEN_REQUEST_URL") from error
    if answer.is_server_error:
        raise VaultUnreachable(f"{_REFUSED} (HTTP {answer.status_code})", action="run the job again")
    try:
        return str(answer.raise_for_status().json()["value"])
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as error:
        raise VaultLoginRefused(
            f"{_REFUSED} (HTTP {answer.status_code})", action="give the job the permission `id-token: write`"
        ) from error
