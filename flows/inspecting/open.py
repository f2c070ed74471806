"""The way to the registry of an inspected image."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from prefect_slipway.flows.request.inspected import InspectRequest
from prefect_slipway.flows.run.endpoints import secret_paths
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.run.saved_blocks import find_vault, running_stack, with_registries
from prefect_slipway.infra.domain.credentials import CredentialSource, EitherOf
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.local.home import VERSION_FILE
from prefect_slipway.infra.local.stack import Stack
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.docker_config import DockerConfigCredentials
from prefect_slipway.infra.vault.session import VaultSession


@asynccontextmanager
async def open_image(
    request: InspectRequest, env: Mapping[str, str] = os.environ, *, keys_in_vault: bool = False
) -> AsyncIterator[tuple[RegistryClient, ImageReference, VaultSession | None]]:
    """The client of the image's registry, the image by its full name, and the session with Vault where it is needed,
    also for `keys_in_vault`. Raises InvalidOption, StackDown, VaultErrors."""
    stack = running_stack(StackConfig.from_env(env))
    access = await with_registries(request.access)
    image = full_name(request.reference, stack)
    async with AsyncExitStack() as exits:
        vault = None
        source: CredentialSource = DockerConfigCredentials.from_env(env)
        credential_there = image.registry in secret_paths(access.registries, image.registry, stack)
        needed = credential_there or keys_in_vault
        if needed and (found := await find_vault(access.vault, stack, env)) is not None:
            vault = await exits.enter_async_context(VaultSession(found))
        if credential_there:
            named = Registries(access, image.registry, stack, vault, exits).credentials()
            source = EitherOf(named, source)
        client = RegistryClient(
            image.api_host,
            source,
            insecure=Registries(access, image.registry, stack, None, exits).insecure(image.registry),
            ca_file=Path(access.registry_ca) if access.registry_ca else None,
        )
        yield await exits.enter_async_context(client), image, vault


def embedded_key(request: InspectRequest, env: Mapping[str, str] = os.environ) -> str | None:
    """The embedded Vault's key as `vault:MOUNT/KEY`, if it is in use and the image is in the embedded registry.
    Raises InvalidOption, StackDown."""
    stack = running_stack(StackConfig.from_env(env))
    if stack is None or request.access.vault is not None:
        return None
    return stack.signing_key if full_name(request.reference, stack).registry == stack.registry else None


def full_name(reference: str, stack: StackConnection | None) -> ImageReference:
    """A name alone is one in the embedded registry, if there is one. Raises StackDown for one that is not running."""
    if "/" in reference:
        return ImageReference.parse(reference)
    config = StackConfig.from_env(os.environ)
    if stack is None and config.own_vault_address is None and (config.home / VERSION_FILE).exists():
        stack = Stack(config).connection()
    here = stack.registry if stack is not None else None
    return ImageReference.parse(f"{here}/{reference}" if here else reference)
