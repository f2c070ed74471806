"""Add the credential helper docker-credential-slipway for a registry to the configuration of docker (DOCKER_CONFIG, or
~/.docker), which podman, skopeo, cosign and oras also read, and to podman's own (REGISTRY_AUTH_FILE,
containers/auth.json) if it exists. The helper reads the credential from Vault at each use and does not store it.
`slipway logout` undoes it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING

from prefect_slipway.infra.domain.errors import (
    InvalidOption,
    RegistryError,
    RegistryForbidden,
    RegistryUnauthorized,
    StackDown,
)

if TYPE_CHECKING:
    from prefect_slipway.flows.run.logins import Login
    from prefect_slipway.infra.domain.credentials import Credential


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("registry", nargs="?", metavar="REGISTRY", help="HOST[:PORT]. Default: the embedded registry.")
    parser.add_argument(
        "--credentials",
        metavar="WHERE",
        help=("Where the credential is: vault:MOUNT/PATH or block:NAME. Default: the embedded registry's."),
    )


def run(args: argparse.Namespace) -> int:
    """Raises InvalidOption, StackDown, PartMissing, VaultErrors, RegistryErrors."""
    from prefect_slipway.flows.cli.helper_program import put_on_path
    from prefect_slipway.flows.run.logins import Logins

    login = _login(args.registry, args.credentials)
    asyncio.run(_try(login))
    program = put_on_path()
    files = Logins.of_this_user().enter(login, os.environ)
    print(f"{login.registry}: docker, podman, skopeo, cosign and oras now use the credential in {login.secret}")
    for changed in [*files, *([program] if program else [])]:
        print(f"  {changed}")
    return 0


def _login(registry: str | None, credentials: str | None) -> Login:
    """What to note. Raises InvalidOption, StackDown."""
    from prefect_slipway.flows.run.endpoints import NO_VAULT_ACTION, secret_paths, vault_access
    from prefect_slipway.flows.run.logins import Login
    from prefect_slipway.flows.run.saved_blocks import running_stack, why_no_registry
    from prefect_slipway.infra.domain.reference import ImageReference
    from prefect_slipway.infra.domain.secret_path import split_host
    from prefect_slipway.infra.local.config import StackConfig

    stack = running_stack(StackConfig.from_env(os.environ))
    named = _without_block(credentials)
    if registry is None:
        registry = split_host(named)[0] or (stack.registry if stack is not None else None)
    if registry is None:
        raise InvalidOption(
            f"no registry was given, and {why_no_registry(StackConfig.from_env(os.environ))}",
            action="slipway login REGISTRY --credentials vault:MOUNT/PATH, or run `slipway up`",
        )
    # Convert any of docker's names (https://index.docker.io/v1/) to the one in references.
    registry = ImageReference.parse(f"{registry.removeprefix('https://').partition('/')[0]}/any/image").registry
    path = secret_paths([named] if named else [], registry, stack).get(registry)
    if path is None:
        raise InvalidOption(
            f"no credential was given for {registry}", action=f"slipway login {registry} --credentials vault:MOUNT/PATH"
        )
    access = vault_access(stack, os.environ)
    if access is None:
        raise StackDown(f"{path} is in Vault, but no Vault is configured", action=NO_VAULT_ACTION)
    return Login.at(registry, str(path), stack, access)


def _without_block(credentials: str | None) -> str:
    """`--credentials` with what a saved registry says in its name's place; empty without."""
    if credentials is None or not credentials.startswith("block:"):
        return credentials or ""
    from prefect_slipway.flows.cli.prefect_settings import use_prefect_server

    use_prefect_server()
    from prefect_slipway.flows.request.credentials import RegistryAccess
    from prefect_slipway.flows.run.saved_blocks import with_registries

    return asyncio.run(with_registries(RegistryAccess(registries=[credentials]))).registries[0]


async def _try(login: Login) -> None:
    """See that Vault has the credential and that the registry takes it."""
    from prefect_slipway.infra.domain.reference import ImageReference, is_loopback
    from prefect_slipway.infra.registry.client import RegistryClient

    credential = await login.credential(os.environ)
    host = ImageReference.parse(f"{login.registry}/any/image").api_host
    try:
        async with RegistryClient(host, _Given(credential), insecure=is_loopback(host), ca_file=None) as registry:
            await registry.ping()
    except (RegistryUnauthorized, RegistryForbidden):
        raise
    except RegistryError as error:
        # Its certificate or its plain HTTP is a matter between it and docker.
        print(f"slipway: not tested: {error.cause}", file=sys.stderr)


class _Given:
    """A CredentialSource of one credential."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def credential(self, host: str) -> Credential | None:
        return self._credential
