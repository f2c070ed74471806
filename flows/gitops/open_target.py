"""From a target of a request to a repository that can be written to."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prefect_slipway.flows.request.git_target import GitTarget
from prefect_slipway.flows.run.registries import OneSecret
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.forge_place import ForgePlace
from prefect_slipway.infra.domain.secret_path import CredentialPath, SecretField, SecretPath
from prefect_slipway.infra.gitops.places import Kind, Part, Wanted
from prefect_slipway.infra.local.home import stack_home
from prefect_slipway.infra.source.command import Remote, SshIdentity
from prefect_slipway.infra.source.commits import Author
from prefect_slipway.infra.source.url import GitUrl, check_subdirectory
from prefect_slipway.infra.vault.session import VaultSession

NeededVault = Callable[[str], VaultSession]
"""Raises StackDown without one, with what it is needed for."""


@dataclass(frozen=True)
class OpenTarget:
    """A target with its connections. `name`: for people, "" without one. `workdir`: for what is fetched. `forge`: where
    pull requests are opened, and its token, read when it is needed; None: nowhere."""

    name: str
    request: GitTarget
    path: str
    wanted: Wanted
    remote: Remote
    author: Author
    workdir: Path
    forge: tuple[ForgePlace, Callable[[], Awaitable[str]]] | None = None

    @property
    def title(self) -> str:
        return self.name or self.request.place


def open_target(name: str, target: GitTarget, vault: NeededVault) -> OpenTarget:
    """Nothing is read yet. Raises InvalidOption, and StackDown for what is in Vault."""
    url = GitUrl.parse(target.repository)
    credentials = identity = None
    if target.credentials is not None:
        session, place = vault("the git credentials are in Vault"), CredentialPath.parse(target.credentials)
        if url.scheme == "ssh":
            identity = partial(_identity, session, place.secret)
        else:
            credentials = OneSecret(session, place)
    ca = Path(target.ca) if target.ca is not None else None
    if ca is not None and not ca.is_file():
        raise InvalidOption(f"the CA file {target.ca} does not exist", action="check --git-ca")
    sign = None
    if target.sign is not None:
        sign = partial(_sign, vault("the key that signs commits is in Vault"), target.sign)
    author = Author(*target.named_author, sign) if target.named_author is not None else Author(sign=sign)
    values = {path: Part(part) for path, part in target.values.items()}
    wanted = Wanted(Kind(target.kind), target.image_name, target.container, values, target.policy)
    remote = Remote(url, credentials, ca, identity)
    forge = None
    if target.forge_token is not None:
        session, secret = vault("the forge's token is in Vault"), SecretField.of_token(target.forge_token)
        forge = _forge(target, url), partial(_token, session, secret)
    workdir = stack_home(os.environ) / "work"
    return OpenTarget(name, target, check_subdirectory(target.path), wanted, remote, author, workdir, forge)


def _forge(target: GitTarget, url: GitUrl) -> ForgePlace:
    try:
        return ForgePlace.of(target.forge, target.forge_url, target.forge_repository, url.label)
    except InvalidOption as error:
        action = "set forge, forge_url and forge_repository (--git-forge, --git-forge-url, --git-forge-repository)"
        raise InvalidOption(error.cause, action=action) from None


async def _token(vault: VaultSession, place: SecretField) -> str:
    return (await vault.read(place.path)).text(place.field)


async def _identity(vault: VaultSession, place: SecretPath) -> SshIdentity:
    secret = await vault.read(place)
    return SshIdentity(secret.text("ssh_key"), secret.text("known_hosts") if secret.get("known_hosts") else None)


async def _sign(vault: VaultSession, place: str, text: bytes) -> str:
    # cryptography is imported only where something is signed.
    from prefect_slipway.infra.signing.ssh import PrivateKeySigner, ssh_signature
    from prefect_slipway.infra.vault.transit import TransitKey, TransitPath

    if "#" not in place:
        return await ssh_signature(TransitKey(vault, TransitPath.parse(place)), text)
    field = SecretField.parse(place)
    return await ssh_signature(PrivateKeySigner(place, (await vault.read(field.path)).text(field.field)), text)
