"""The composition root: where a request, the environment and saved blocks become the connections of one run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_slipway.flows.request.config import NO_FILE
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.builder import RunBuilder
from prefect_slipway.flows.run.registries import OneSecret, Registries, needed
from prefect_slipway.flows.run.release_file import directory_of, find_release_file
from prefect_slipway.flows.run.saved_blocks import (
    block_name,
    find_vault,
    load,
    running_stack,
    why_no_registry,
    with_registries,
)
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import ImageReference, repository_name
from prefect_slipway.infra.domain.secret_path import CredentialPath, SecretField
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.vault.session import VaultSession

if TYPE_CHECKING:
    from prefect_slipway.blocks import Builder
    from prefect_slipway.blocks import KubernetesBuilder as KubernetesBlock
    from prefect_slipway.flows.request.release_file import ReleaseFile


class OpenRun:
    """The open connections of a run. Steps get it as a parameter, which Prefect neither stores nor copies, as it is a
    plain object.

    `request`: with what its saved blocks and the release file say; `asked`: without; `file`: the release file, None if
    there is none or the source is not fetched yet; `home`: the state folder.
    """

    def __init__(
        self,
        request: ReleaseRequest,
        home: Path,
        stack: StackConnection | None,
        vault: VaultSession | None,
        exits: AsyncExitStack,
        builder: RunBuilder,
        asked: ReleaseRequest | None = None,
        file: ReleaseFile | None = None,
    ) -> None:
        self.request = request
        self.asked = asked or request
        self.file = file
        self.home = home
        self.stack = stack
        self.vault = vault
        self.builder = builder
        self._exits = exits
        self._registries: dict[str, Registries] = {}

    def image(self, source_name: str, component: str = "") -> ImageReference:
        """The image to release: the requested one, else one in the embedded registry named after source and component.
        Raises InvalidOption."""
        return image_of(self.request, self.stack, source_name, component)

    def signing_keys(self, images: Iterable[ImageReference]) -> tuple[str, ...]:
        """The places of the keys that sign these images: the requested ones, else the embedded Vault's if it is in use
        and all images go to the embedded registry."""
        stack, request = self.stack, self.request
        if request.trust.sign or stack is None or stack.signing_key is None or request.credentials.vault is not None:
            return request.trust.places
        return (stack.signing_key,) if all(image.registry == stack.registry for image in images) else ()

    def registries(self, host: str) -> Registries:
        """`host`: the registry for credentials without a host."""
        if host not in self._registries:
            self._registries[host] = Registries(self.request.credentials, host, self.stack, self.vault, self._exits)
        return self._registries[host]

    @property
    def components(self) -> ReleaseFile | None:
        """The release file, if it describes components and the request is about them."""
        return self.file if self.file is not None and self.file.has_components and self.request.bake is None else None

    @property
    def release_file_decides(self) -> bool:
        """Whether the release file of a source that is not fetched yet may choose registry, builder or approval."""
        config = self.request.config
        return config.file != NO_FILE and bool(config.allow) and directory_of(self.request) is None

    async def use_release_file(self, checkout: Checkout) -> None:
        """Take over what the release file of a fetched source says; a directory's was read when the run was opened.
        Raises ReleaseFileInvalid, ReleaseFileRefused, InvalidOption."""
        if directory_of(self.request) is not None:
            return
        self.file = file = find_release_file(self.request, checkout.path, checkout.top)
        if file is not None:
            decides = self.release_file_decides
            self.request = await _with_saved(file.applied(self.request, self.request.config.allow))
            if decides:
                self.builder.ask_for(self.request)
                self._registries.clear()

    async def read_secret(self, field: SecretField) -> bytes:
        """A build's secret, as Vault has it now. Raises StackDown without a Vault, VaultErrors."""
        vault = needed(self.vault, "a secret of the build is named in Vault")
        return (await vault.read(field.path)).text(field.field).encode()

    async def see_secrets(self, fields: Iterable[SecretField]) -> None:
        """Read each once, and keep nothing. Raises as `read_secret`."""
        for field in fields:
            await self.read_secret(field)

    def git_credentials(self) -> CredentialSource | None:
        """The source of the git server's credential, None for anonymous access. Raises StackDown without a Vault."""
        if (place := self.request.checkout.credentials) is None:
            return None
        vault = needed(self.vault, "the git credentials are in Vault")
        return OneSecret(vault, CredentialPath.parse(place))


@asynccontextmanager
async def open_run(
    request: ReleaseRequest,
    env: Mapping[str, str] = os.environ,
    *,
    run: str = "plan",
    attempt: int = 0,
    session: bool = False,
) -> AsyncIterator[OpenRun]:
    """Open the connections of a run, and close them at the end (which revokes Slipway's own Vault token).

    `run`, `attempt`, `session`: as of RunBuilder.
    """
    request = await _with_source(request)
    asked, folder = request, directory_of(request)
    if (file := find_release_file(request, folder) if folder is not None else None) is not None:
        request = file.applied(request, request.config.allow)
    request = await _with_saved(request)
    config = StackConfig.from_env(env)
    stack = running_stack(config)
    async with AsyncExitStack() as exits:
        access = await find_vault(request.credentials.vault, stack, env)
        vault = await exits.enter_async_context(VaultSession(access)) if access is not None else None
        builder = RunBuilder(request, stack, exits, run=run, attempt=attempt, session=session)
        yield OpenRun(request, config.home, stack, vault, exits, builder, asked, file)


def image_of(
    request: ReleaseRequest, stack: StackConnection | None, source_name: str, component: str = ""
) -> ImageReference:
    """See `OpenRun.image`. Raises InvalidOption."""
    if request.image is not None:
        return ImageReference.parse(request.image)
    if stack is None or stack.registry is None:
        raise InvalidOption(
            f"no image was given, and {why_no_registry(StackConfig.from_env(os.environ))}",
            action="choose one with --image REGISTRY/REPOSITORY, or run `slipway up`",
        )
    name = repository_name(source_name)
    if not name:
        raise InvalidOption(
            f"no image can be named after {source_name!r}", action="choose one with --image REGISTRY/REPOSITORY"
        )
    return ImageReference.parse("/".join(filter(None, (stack.registry, name, component))))


async def load_builder(name: str) -> Builder | KubernetesBlock:
    """A saved builder of either sort. Raises InvalidOption."""
    from prefect_slipway.blocks import Builder
    from prefect_slipway.blocks import KubernetesBuilder as KubernetesBlock

    with suppress(InvalidOption):
        return await load(KubernetesBlock, name)
    return await load(Builder, name)


async def _with_source(request: ReleaseRequest) -> ReleaseRequest:
    """The request with a saved source in place of its `block:NAME`."""
    # Validated again, because the UI does not stop people from saving a secret in a block.
    if name := block_name(request.source):
        from prefect_slipway.blocks import Source

        request = request.changed((await load(Source, name)).request_fields())
    return request


async def _with_saved(request: ReleaseRequest) -> ReleaseRequest:
    """The request with every other `block:NAME` replaced by what the saved block says."""
    if request.builder.address is not None and (name := block_name(request.builder.address)):
        fields = (await load_builder(name)).request_fields()
        if fields.get("build", {}).get("network") == "host":
            # Whoever saved the builder has allowed it.
            fields["build"]["allow"] = [*request.build.allow, "network.host"]
        request = request.changed(fields)
    if (name := request.build.saved_policy) is not None:
        from prefect_slipway.blocks import SourcePolicy

        request = request.changed({"build": {"source_policy": (await load(SourcePolicy, name)).text}})
    access = await with_registries(request.credentials)
    return request.changed({"credentials": access.model_dump(exclude_unset=True)})
