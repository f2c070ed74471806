"""The composition root of deploys: where a request, the environment and saved blocks become the adapters of one.

Tasks take and return plain values and find the workshop by `deploy_workshop()`, as those of a release find theirs.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from prefect_slipway.flows.request.rollout import RegistryOptions, TargetRequest
from prefect_slipway.flows.rollouts.values import DeployedImage
from prefect_slipway.flows.run.cluster import open_api
from prefect_slipway.flows.run.endpoints import NO_VAULT_ACTION, secret_paths
from prefect_slipway.flows.run.saved_blocks import find_vault, running_stack, with_registries
from prefect_slipway.infra.domain.credentials import Anonymous, Credential, CredentialSource
from prefect_slipway.infra.domain.errors import StackDown, StepOutsideRun
from prefect_slipway.infra.domain.reference import ImageReference, is_loopback
from prefect_slipway.infra.kubernetes.workloads.pull_secret import PullSecret
from prefect_slipway.infra.kubernetes.workloads.rollout import RolloutRules
from prefect_slipway.infra.kubernetes.workloads.workload import Workload, WorkloadState
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.registry import RegistryClient
from prefect_slipway.infra.vault import VaultCredentials, VaultSession

R = TypeVar("R", bound=RegistryOptions)

_current: ContextVar[DeployWorkshop] = ContextVar("deploy workshop")


@dataclass
class Registries:
    """The registries that images are looked up in, each opened once. `no_vault`: raised where there should be one."""

    options: RegistryOptions
    pull_credentials: str | None
    stack: StackConnection | None
    vault: VaultSession | None
    exits: AsyncExitStack
    no_vault: StackDown
    _open: dict[str, RegistryClient] = field(default_factory=dict)

    async def client(self, image: ImageReference) -> RegistryClient:
        if image.registry not in self._open:
            ca = self.options.registry_ca
            named = self.options.credentials or [text for text in (self.pull_credentials,) if text]
            client = RegistryClient(
                image.api_host,
                self._source(named, image.registry, self.stack),
                insecure=self.options.insecure_registry or (is_loopback(image.registry) and ca is None),
                ca_file=Path(ca) if ca else None,
            )
            self._open[image.registry] = await self.exits.enter_async_context(client)
        return self._open[image.registry]

    def pulls(self, host: str) -> bool:
        """Whether something was named that the nodes are to pull with from `host`."""
        return self.pull_credentials is not None and bool(secret_paths([self.pull_credentials], host, None).get(host))

    async def pull_credential(self, host: str) -> Credential | None:
        """What the nodes are to pull with from `host`, as Vault has it now; None where nothing was named for it."""
        if self.pull_credentials is None:
            return None
        return await self._source([self.pull_credentials], host, None).credential(host)

    def _source(self, named: list[str], host: str, stack: StackConnection | None) -> CredentialSource:
        paths = secret_paths(named, host, stack)
        if not paths:
            return Anonymous()
        if self.vault is None:
            raise self.no_vault
        return VaultCredentials(self.vault, paths)


@dataclass
class DeployWorkshop:
    """The adapters of one deploy. `image`: what is deployed; `before`: the workload as it was, `written`: after its
    image was set; `outcome`: what became of a failure. All are filled in as they become known.
    """

    request: TargetRequest
    workload: Workload
    registries: Registries
    image: DeployedImage | None = None
    before: WorkloadState | None = None
    written: WorkloadState | None = None
    pull_secret: PullSecret | None = None
    outcome: str | None = None

    @property
    def rules(self) -> RolloutRules:
        request = self.request
        return RolloutRules(request.timeout_s, request.settle_s, request.patience_s)


def deploy_workshop() -> DeployWorkshop:
    """The workshop of the deploy that is running here. Raises StepOutsideRun."""
    shop = _current.get(None)
    if shop is None:
        raise StepOutsideRun("a step of a rollout was called outside of a deploy or a rollback")
    return shop


@asynccontextmanager
async def open_registries(
    options: R, pull_credentials: str | None, env: Mapping[str, str] = os.environ
) -> AsyncIterator[Registries]:
    """The way to the registries, closed at the end (a Vault token of our own is revoked then)."""
    stack = running_stack(StackConfig.from_env(env))
    options = options.read({**options.model_dump(), **await with_registries(options.credentials)})
    if pull_credentials is not None:
        # A saved registry stands for its place in Vault here; how it is spoken to is the nodes' affair.
        (pull_credentials,) = (await with_registries([pull_credentials]))["credentials"]
    async with AsyncExitStack() as exits:
        missing = StackDown("credentials are named in Vault, but there is no Vault to ask", action=NO_VAULT_ACTION)
        vault = None
        try:
            if (access := await find_vault(options.vault, stack, env)) is not None:
                vault = await exits.enter_async_context(VaultSession(access))
        except StackDown as error:
            missing = error  # told by whoever needs it
        yield Registries(options, pull_credentials, stack, vault, exits, missing)


@asynccontextmanager
async def open_deploy_workshop(
    request: TargetRequest, env: Mapping[str, str] = os.environ
) -> AsyncIterator[DeployWorkshop]:
    """Open what a deploy works with, and close all of it at the end."""
    name = WorkloadName.parse(request.workload)
    async with (
        open_registries(request, request.pull_credentials, env) as registries,
        open_api(request.context, request.namespace, env) as api,
    ):
        shop = DeployWorkshop(request, Workload(api, name, request.container), registries)
        token = _current.set(shop)
        try:
            yield shop
        finally:
            _current.reset(token)
