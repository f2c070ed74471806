"""The credentials in docker's `config.json`: `auths`, `credHelpers`, `credsStore`.

Credentials are read again at each call, and helpers are run again, so that a fresh token is found during a long build.
Format: docker/cli `cli/config/configfile/file.go`; a helper's protocol: github.com/docker/docker-credential-helpers
(`get`: the server's name on standard input, JSON with Username and Secret on standard output).
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.common.child_process import child_process
from prefect_slipway.infra.common.docker_auths import credential_of, key_of
from prefect_slipway.infra.common.docker_config import DockerConfig, docker_config_file
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import normalize_registry_host

# What a helper gives as the name where the secret is an identity token (docker/cli, credentials/native_store.go).
_IDENTITY_TOKEN = "<token>"  # noqa: S105


class DockerConfigCredentials:
    """A CredentialSource over docker's configuration; anonymous for hosts it does not know."""

    def __init__(self, file: Path) -> None:
        self._config = DockerConfig(file.parent)
        self._file = file

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> DockerConfigCredentials:
        """Where `docker_config_file` finds it."""
        return cls(docker_config_file(env))

    async def credential(self, host: str) -> Credential | None:
        """Raises InvalidOption if the file is not a docker configuration or a helper cannot be run."""
        config = await asyncio.to_thread(self._config.read)
        key = key_of(host)
        helpers = config.get("credHelpers") or {}
        helper = helpers.get(key) or helpers.get(host) or config.get("credsStore")
        if helper:
            found = await self._ask(str(helper), key)
            if found is not None:
                return found
        for name, entry in (config.get("auths") or {}).items():
            if normalize_registry_host(name) == normalize_registry_host(host):
                try:
                    return credential_of(entry or {})
                except ValueError as error:
                    raise InvalidOption(
                        f"{self._file}: the entry of {name} cannot be read", action=f"log in again: docker login {name}"
                    ) from error
        return None

    async def _ask(self, helper: str, key: str) -> Credential | None:
        program = f"docker-credential-{helper}"
        try:
            async with child_process(program, "get", stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as process:
                answer, _ = await process.communicate(key.encode())
        except OSError as error:
            raise InvalidOption(
                f"the credential helper {program}, named in {self._file}, cannot be run", action="install it"
            ) from error
        if process.returncode != 0:
            # "credentials not found in native keychain": a helper's way to say that it has none.
            return None
        try:
            found = json.loads(answer)
            username = str(found["Username"])
            return Credential("" if username == _IDENTITY_TOKEN else username, str(found["Secret"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidOption(f"the credential helper {program} did not return a credential", action="") from error
