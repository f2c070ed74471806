"""The registries of a run, each opened once; Vault is asked for the credentials at each use."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_slipway.flows.request.credentials import RegistryAccess
from prefect_slipway.flows.run.endpoints import NO_VAULT_ACTION, secret_paths
from prefect_slipway.infra.domain.credentials import Anonymous, Credential, CredentialSource
from prefect_slipway.infra.domain.errors import StackDown
from prefect_slipway.infra.domain.reference import ImageReference, is_loopback
from prefect_slipway.infra.domain.secret_path import CredentialPath
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.vault.credentials import VaultCredentials
from prefect_slipway.infra.vault.session import VaultSession

if TYPE_CHECKING:
    # It brings the HTTP client, which whoever asks no registry does without.
    from prefect_slipway.infra.registry.client import RegistryClient


class Registries:
    """Access to registries, and their clients. `host`: the registry for credentials without a host; `no_vault`: why
    there is no Vault. Prefect neither stores nor copies it, because it is a plain object."""

    def __init__(
        self,
        access: RegistryAccess,
        host: str,
        stack: StackConnection | None,
        vault: VaultSession | None,
        exits: AsyncExitStack,
        no_vault: StackDown | None = None,
    ) -> None:
        self._access = access
        self._stack = stack
        self._vault = vault
        self._exits = exits
        self._no_vault = no_vault
        self._open: dict[str, RegistryClient] = {}
        self.host = host

    def paths(self) -> dict[str, CredentialPath]:
        """The place of each registry's credential in Vault."""
        return secret_paths(self._access.registries, self.host, self._stack)

    def credentials(self) -> CredentialSource:
        """The source of the registries' credentials, asked at each use. Raises StackDown without a Vault."""
        paths = self.paths()
        if not paths:
            return Anonymous()
        return VaultCredentials(needed(self._vault, "the credentials are in Vault", self._no_vault), paths)

    def insecure(self, host: str) -> bool:
        """Whether the registry uses plain HTTP."""
        return self._access.insecure_registry or (is_loopback(host) and self._access.registry_ca is None)

    async def client(self, image: ImageReference, *, as_usual: bool = False) -> RegistryClient:
        """The client of the image's registry, opened once. `as_usual`: the request's connection options do not
        apply."""
        host = image.registry
        if host not in self._open:
            from prefect_slipway.infra.registry.client import RegistryClient

            ca = None if as_usual else self._access.registry_ca
            client = RegistryClient(
                image.api_host,
                self.credentials(),
                insecure=is_loopback(host) if as_usual else self.insecure(host),
                ca_file=Path(ca) if ca else None,
            )
            self._open[host] = await self._exits.enter_async_context(client)
        return self._open[host]


class OneSecret:
    """One secret for every host: the source's git server and the repository's remote may have several names."""

    def __init__(self, vault: VaultSession, path: CredentialPath) -> None:
        self._vault = vault
        self._path = path

    async def credential(self, host: str) -> Credential | None:
        return await VaultCredentials(self._vault, {host: self._path}).credential(host)


def needed(vault: VaultSession | None, why: str, no_vault: StackDown | None = None) -> VaultSession:
    """The Vault. Raises StackDown without one, with `no_vault` if the reason is known."""
    if vault is None:
        raise no_vault or StackDown(f"{why}, but no Vault is configured", action=NO_VAULT_ACTION)
    return vault
