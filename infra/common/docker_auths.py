"""Credentials in the `auths` of docker's `config.json` (docker/cli, cli/config/configfile/file.go)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.reference import DOCKER_HUB, normalize_registry_host

HUB_KEY = "https://index.docker.io/v1/"
"""The key under which docker stores Docker Hub's credential (docker/cli `registry.IndexServer`)."""


def key_of(host: str) -> str:
    """The key of a registry's entry."""
    return HUB_KEY if normalize_registry_host(host) == DOCKER_HUB else host


def entry_of(credential: Credential) -> dict[str, str]:
    """The entry of a registry, as all of docker's kin read it."""
    pair = base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode("ascii")
    if not credential.username:
        return {"auth": pair, "identitytoken": credential.password}
    return {"username": credential.username, "password": credential.password, "auth": pair}


def credential_of(entry: Mapping[str, Any]) -> Credential | None:
    """What an entry holds, None for nothing. Raises ValueError for an `auth` that cannot be read."""
    if entry.get("identitytoken"):
        # The username beside it is nobody's.
        return Credential("", entry["identitytoken"])
    if entry.get("username") and entry.get("password"):
        return Credential(entry["username"], entry["password"])
    if entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        return Credential(user, password.rstrip("\0"))  # old versions of docker pad it
    return None
