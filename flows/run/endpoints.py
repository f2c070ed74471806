"""Find builders and credentials, for releases and plain builds. No Prefect here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.domain.errors import InvalidOption, StackDown
from prefect_slipway.infra.domain.secret_path import CredentialPath, split_host

if TYPE_CHECKING:
    from prefect_slipway.infra.local.connection import StackConnection
    from prefect_slipway.infra.vault.access import VaultAccess

KUBERNETES = "kubernetes"
"""What `--builder` says for a builder that is made in a cluster."""

NO_VAULT_ACTION = "set VAULT_ADDR and a login (VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID), or run `slipway up`"
"""Where a secret is named and no Vault is known."""

Network = Literal["host", "none"] | None


def find_builder(
    address: str | None, tls: TlsFiles | None, stack: StackConnection | None
) -> tuple[BuilderAddress, Network]:
    """The requested builder, else the embedded one, and the network that its RUN steps must use.

    Raises StackDown when none was named and no stack runs, InvalidOption for what is not an address.
    """
    if address is not None and (stack is None or address != stack.builder):
        return BuilderAddress.parse(address, tls), None
    if stack is None:
        raise StackDown(
            "no builder was given and the embedded stack is not running",
            action="run `slipway up`, or choose a builder with --builder tcp://HOST:PORT",
        )
    # The embedded engine has no bridge for its RUN steps, also if it is named by its address.
    return BuilderAddress.parse(stack.builder), "host" if stack.builder_network == "host" else None


def find_builders(
    builder: str | None, tls: TlsFiles | None, stack: StackConnection | None
) -> list[tuple[BuilderAddress, Network]]:
    """The same for a builder of several nodes, `ADDRESS,ADDRESS`. `tls`: of those on TCP. Raises as `find_builder`."""
    texts = builder.split(",") if builder is not None else [None]
    if len(texts) != len(set(texts)):
        raise InvalidOption("a builder has the same address twice", action="name each node once")
    several = len(texts) > 1
    return [
        find_builder(text, tls if not several or (text or "").startswith("tcp:") else None, stack) for text in texts
    ]


def vault_access(stack: StackConnection | None, env: Mapping[str, str]) -> VaultAccess | None:
    """The embedded Vault by its role, else the one of VAULT_ADDR, else None.

    Raises InvalidOption for an incomplete environment, StackDown when the role's file cannot be read.
    """
    # hvac takes 0.1 s to import, which a build that needs no Vault does not pay.
    from prefect_slipway.infra.vault.access import AppRoleAuth, VaultAccess

    if stack is None or stack.approle_file is None:
        # A stack that runs with your own Vault has no role file; VAULT_ADDR may also name the embedded one.
        return VaultAccess.from_env(env) if env.get("VAULT_ADDR") else None
    try:
        role = json.loads(stack.approle_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StackDown("the embedded Vault's role cannot be read") from error
    return VaultAccess(stack.vault_address, auth=AppRoleAuth(role["role_id"], role["secret_id"]))


def secret_paths(
    texts: Iterable[str], registry: str | None, stack: StackConnection | None
) -> dict[str, CredentialPath]:
    """The place of each registry's credential in Vault: `vault:…` for `registry`, `HOST=vault:…` for others, and the
    embedded registry's own. Raises InvalidOption."""
    paths = {}
    for text in texts:
        host, place = split_host(text)
        if (asked := host or registry) is not None:
            paths[asked] = CredentialPath.parse(place)
    if stack is not None and stack.registry and stack.registry_secret:
        paths.setdefault(stack.registry, CredentialPath.parse(stack.registry_secret))
    return paths
