"""Registry credentials from Vault."""

from __future__ import annotations

from collections.abc import Mapping

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import normalize_registry_host
from prefect_slipway.infra.domain.secret_path import CredentialPath
from prefect_slipway.infra.vault.session import VaultSession


class VaultCredentials:
    """A CredentialSource over secrets with the fields that their paths name and, optionally, `registry`.

    Read again at each call, so that a rotated password is picked up. A secret that names its `registry` is
    given to no other host: InvalidOption.
    """

    def __init__(self, session: VaultSession, paths: Mapping[str, CredentialPath]) -> None:
        self._session = session
        self._paths = {normalize_registry_host(host): path for host, path in paths.items()}

    async def credential(self, host: str) -> Credential | None:
        host = normalize_registry_host(host)
        path = self._paths.get(host)
        if path is None:
            return None
        values = await self._session.read(path.secret)
        if values.get("registry") and normalize_registry_host(values.text("registry")) != host:
            raise InvalidOption(
                f"{path.secret} is the credential of {values.text('registry')}, not of {host}",
                action="pass the secret of this registry with --credentials",
            )
        other = f"write the fields `username` and `password` to it, or name others: {path.secret}#FIELD,user=NAME"
        return Credential(path.user or values.text("username", action=other), values.text(path.field, action=other))
