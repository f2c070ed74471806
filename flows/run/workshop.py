"""The composition root: where a request, the environment and saved blocks become the adapters of one release.

A workshop is opened once a run and holds what must not travel through Prefect: connections, the Vault session, the
credential source, the version's reservation. Tasks take and return plain values and find the workshop by `workshop()`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_slipway.blocks import Builder, Source
from prefect_slipway.blocks import KubernetesBuilder as KubernetesBlock
from prefect_slipway.flows.reporting.recorder import BuildRecorder
from prefect_slipway.flows.request.release import ReleaseOptions, ReleaseRequest
from prefect_slipway.flows.run.endpoints import KUBERNETES, NO_VAULT_ACTION, Network, find_builder, secret_paths
from prefect_slipway.flows.run.saved_blocks import block_name, find_vault, load, running_stack, with_registries
from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.domain.credentials import Anonymous, Credential, CredentialSource
from prefect_slipway.infra.domain.errors import InvalidOption, StackDown, StepOutsideRun
from prefect_slipway.infra.domain.ledger import Reservation, VersionLedger
from prefect_slipway.infra.domain.reference import ImageReference, is_loopback
from prefect_slipway.infra.domain.secret_path import SecretPath
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.registry import RegistryClient
from prefect_slipway.infra.source import Checkout
from prefect_slipway.infra.vault import VaultCredentials, VaultSession

if TYPE_CHECKING:
    # The cluster's client takes half a second to import, which a release without one does not pay.
    from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder

_current: ContextVar[Workshop] = ContextVar("workshop")


@dataclass
class Workshop:
    """The adapters of one release. `checkout`, `reservation` and `ledger` are filled in by the steps that make them.

    `provisioning`: held while a builder is made, so that several builds that lost theirs make one.
    """

    request: ReleaseRequest
    home: Path
    stack: StackConnection | None
    builder: BuilderAddress | None
    builder_network: Network
    vault: VaultSession | None
    exits: AsyncExitStack
    checkout: Checkout | None = None
    ledger: VersionLedger | None = None
    reservation: Reservation | None = None
    recorder: BuildRecorder | None = None
    kubernetes: KubernetesBuilder | None = None
    published: CredentialSource | None = None
    provisioning: asyncio.Lock = field(default_factory=asyncio.Lock)
    _registries: dict[str, RegistryClient] = field(default_factory=dict)

    def image(self, source_name: str) -> ImageReference:
        """The image to release: the one that was named, else the source's name in the embedded registry."""
        return image_of(self.request, self.stack, source_name)

    @property
    def registry_host(self) -> str:
        """The host of the image's registry, known before the source is."""
        return self.image("any").registry

    def secret_paths(self) -> dict[str, SecretPath]:
        """Which registry's credential is where in Vault."""
        return secret_paths(self.request.credentials, self.registry_host, self.stack)

    def credentials(self) -> CredentialSource:
        """Where the registries' credentials come from; asked again at each use."""
        paths = self.secret_paths()
        if not paths:
            return Anonymous()
        if self.vault is None:
            raise StackDown("credentials are named in Vault, but there is no Vault to ask", action=NO_VAULT_ACTION)
        return VaultCredentials(self.vault, paths)

    def git_credentials(self) -> CredentialSource | None:
        """Where the git server's credential comes from, None for anonymous access."""
        if self.request.git_credentials is None:
            return None
        if self.vault is None:
            raise StackDown(
                "the git credentials are named in Vault, but there is no Vault to ask", action=NO_VAULT_ACTION
            )
        return _OneSecret(self.vault, SecretPath.parse(self.request.git_credentials))

    @property
    def has_private_engine(self) -> bool:
        """Whether the builder is the stack's private engine, the one that has no bridge."""
        return (
            self.stack is not None
            and self.stack.builder_network == "host"
            and (str(self.builder) == self.stack.builder)
        )

    async def check_builder(self) -> None:
        """See that a builder that is still to be made in a cluster could be made: before people are asked, or wait.

        Raises ClusterErrors.
        """
        if self.request.builder == KUBERNETES and self.kubernetes is None:
            from prefect_slipway.flows.run.cluster import check_builder

            await check_builder(self)

    def insecure(self, image: ImageReference) -> bool:
        """Whether the image's registry is spoken to in plain HTTP."""
        return self.request.insecure_registry or (is_loopback(image.registry) and self.request.registry_ca is None)

    async def registry(self, image: ImageReference) -> RegistryClient:
        """The client of the image's registry, opened once."""
        if image.registry not in self._registries:
            ca = self.request.registry_ca
            client = RegistryClient(
                image.api_host,
                self.credentials(),
                insecure=self.insecure(image),
                ca_file=Path(ca) if ca else None,
            )
            self._registries[image.registry] = await self.exits.enter_async_context(client)
        return self._registries[image.registry]


def image_of(request: ReleaseRequest, stack: StackConnection | None, source_name: str) -> ImageReference:
    """See `Workshop.image`. Raises InvalidOption."""
    if request.image is not None:
        return ImageReference.parse(request.image)
    if stack is None or stack.registry is None:
        raise InvalidOption(
            "no image was named and no embedded registry runs",
            action="name one with --image REGISTRY/REPOSITORY, or run `slipway up`",
        )
    return ImageReference.parse(f"{stack.registry}/{source_name}")


class _OneSecret:
    """One secret whoever asks: the source's git server and the repository's remote may be known by several names."""

    def __init__(self, vault: VaultSession, path: SecretPath) -> None:
        self._vault = vault
        self._path = path

    async def credential(self, host: str) -> Credential | None:
        return await VaultCredentials(self._vault, {host: self._path}).credential(host)


def workshop() -> Workshop:
    """The workshop of the release that is running here. Raises StepOutsideRun."""
    shop = _current.get(None)
    if shop is None:
        raise StepOutsideRun("a step of a release was called outside of a release")
    return shop


@asynccontextmanager
async def open_workshop(request: ReleaseRequest, env: Mapping[str, str] = os.environ) -> AsyncIterator[Workshop]:
    """Open what a release works with, and close all of it at the end (a Vault token of our own is revoked then)."""
    request = await _with_blocks(request)
    config = StackConfig.from_env(env)
    home, stack = config.home, running_stack(config)
    async with AsyncExitStack() as exits:
        access = await find_vault(request.vault, stack, env)
        vault = await exits.enter_async_context(VaultSession(access)) if access is not None else None
        builder, network = None, None
        if request.builder != KUBERNETES:
            builder, network = find_builder(request.builder, builder_tls(request), stack)
        shop = Workshop(request, home, stack, builder, network, vault, exits)
        token = _current.set(shop)
        try:
            yield shop
        finally:
            _current.reset(token)


def builder_tls(request: ReleaseOptions) -> TlsFiles | None:
    """The files that were named for a builder on TCP."""
    if not (request.builder_ca or request.builder_cert):
        return None
    return TlsFiles(
        ca=_path(request.builder_ca),
        cert=_path(request.builder_cert),
        key=_path(request.builder_key),
        server_name=request.builder_name,
    )


async def _with_blocks(request: ReleaseRequest) -> ReleaseRequest:
    """The request with every `block:NAME` replaced by what the saved block says."""
    changes: dict[str, Any] = {}
    if name := block_name(request.source):
        changes |= (await load(Source, name)).request_fields()
    if request.builder is not None and (name := block_name(request.builder)):
        changes |= (await load_builder(name)).request_fields()
    changes |= await with_registries(request.credentials)
    # Read again: who saves a block in the UI is not stopped there from typing a secret into it.
    return request.read({**request.model_dump(), **changes})


async def load_builder(name: str) -> Builder | KubernetesBlock:
    """A saved builder of either sort. Raises InvalidOption."""
    with suppress(InvalidOption):
        return await load(KubernetesBlock, name)
    return await load(Builder, name)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
