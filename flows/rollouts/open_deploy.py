"""The composition root of deploys: where a request, the environment and saved blocks become the connections of one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from prefect_slipway.flows.request.credentials import RegistryAccess
from prefect_slipway.flows.request.rollout import RegistryOptions, TargetRequest
from prefect_slipway.flows.run.cluster import open_api
from prefect_slipway.flows.run.endpoints import secret_paths
from prefect_slipway.flows.run.registries import Registries, needed
from prefect_slipway.flows.run.saved_blocks import find_vault, running_stack, with_registries
from prefect_slipway.flows.run.trusted_keys import public_keys
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import StackDown
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.kubernetes.workloads.rollout import RolloutRules
from prefect_slipway.infra.kubernetes.workloads.workload import Workload
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.vault.credentials import VaultCredentials
from prefect_slipway.infra.vault.session import VaultSession


class DeployRegistries:
    """The registries that images are looked up in, and what the nodes are to pull with.

    `pull_credentials`: they serve the look as well where nothing else is named. `no_vault`: why there is no Vault, told
    by whatever needs one.
    """

    def __init__(
        self,
        access: RegistryAccess,
        pull_credentials: str | None,
        stack: StackConnection | None,
        vault: VaultSession | None,
        exits: AsyncExitStack,
        no_vault: StackDown | None,
    ) -> None:
        looked_up_with = access.registries or [text for text in (pull_credentials,) if text]
        self._access = access.changed({"registries": looked_up_with})
        self._pull_credentials = pull_credentials
        self._stack = stack
        self._vault = vault
        self._exits = exits
        self._no_vault = no_vault
        self._open: dict[str, Registries] = {}

    async def client(self, image: ImageReference) -> RegistryClient:
        """The client of the image's registry, opened once."""
        host = image.registry
        if host not in self._open:
            self._open[host] = Registries(self._access, host, self._stack, self._vault, self._exits, self._no_vault)
        return await self._open[host].client(image)

    def pulls(self, host: str) -> bool:
        """Whether something was named that the nodes are to pull with from `host`."""
        return self._pull_credentials is not None and host in secret_paths([self._pull_credentials], host, None)

    async def pull_credential(self, host: str) -> Credential | None:
        """What the nodes are to pull with from `host`, as Vault has it now; None where nothing was named for it."""
        if self._pull_credentials is None or not self.pulls(host):
            return None
        vault = self.needed_vault("the pull credentials are in Vault")
        return await VaultCredentials(vault, secret_paths([self._pull_credentials], host, None)).credential(host)

    def needed_vault(self, why: str) -> VaultSession:
        """The open session. Raises StackDown without one."""
        return needed(self._vault, why, self._no_vault)

    async def public_keys(self, texts: Sequence[str]) -> tuple[PublicKey, ...]:
        """Trusted keys, those in Vault by the open session. Raises as `trusted_keys.public_keys`."""
        return await public_keys(texts, self._vault, self._no_vault)


class OpenDeploy:
    """What a deploy has open. Steps get it as a parameter: Prefect neither stores nor copies a plain object."""

    def __init__(self, request: TargetRequest, workload: Workload, registries: DeployRegistries) -> None:
        self.request = request
        self.workload = workload
        self.registries = registries

    @property
    def rules(self) -> RolloutRules:
        request = self.request
        return RolloutRules(request.timeout_s, request.settle_s, request.patience_s)


@asynccontextmanager
async def open_registries(
    options: RegistryOptions, pull_credentials: str | None, env: Mapping[str, str] = os.environ
) -> AsyncIterator[DeployRegistries]:
    """The way to the registries, closed at the end (a Vault token of our own is revoked then)."""
    stack = running_stack(StackConfig.from_env(env))
    access = await with_registries(options.access)
    if pull_credentials is not None:
        # A saved registry only gives its place in Vault here; the nodes connect to the registry by their own settings.
        (pull_credentials,) = (await with_registries(RegistryAccess(registries=[pull_credentials]))).registries
    async with AsyncExitStack() as exits:
        vault = no_vault = None
        try:
            if (found := await find_vault(access.vault, stack, env)) is not None:
                vault = await exits.enter_async_context(VaultSession(found))
        except StackDown as error:
            no_vault = error
        yield DeployRegistries(access, pull_credentials, stack, vault, exits, no_vault)


@asynccontextmanager
async def open_deploy(request: TargetRequest, env: Mapping[str, str] = os.environ) -> AsyncIterator[OpenDeploy]:
    """Open what a deploy works with, and close all of it at the end."""
    name = WorkloadName.parse(request.workload)
    async with (
        open_registries(request, request.pull_credentials, env) as registries,
        open_api(request.context, request.namespace, env) as api,
    ):
        yield OpenDeploy(request, Workload(api, name, request.container), registries)
