"""What docker keeps in `config.json`: credentials (`auths`, `credHelpers`, `credsStore`), proxies, the current context.

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
from typing import Any

from prefect_slipway.infra.common.child_process import child_process
from prefect_slipway.infra.common.docker_auths import credential_of, key_of
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import normalize_registry_host


def docker_config_file(env: Mapping[str, str]) -> Path:
    """In DOCKER_CONFIG's folder, else in `~/.docker`."""
    return (Path(env.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json").absolute()


# ParseProxyConfig in cli/config/configfile/file.go (docker/cli); each is set in both cases.
_PROXIES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}


class DockerConfig:
    """Docker's configuration in a folder; empty if it has none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config.json"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> DockerConfig:
        """DOCKER_CONFIG's folder, else `~/.docker`."""
        return cls(docker_config_file(env).parent)

    def read(self) -> dict[str, Any]:
        """Raises InvalidOption for a file that cannot be read."""
        try:
            config = json.loads(self.file.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InvalidOption(
                f"{self.file} is not a readable docker configuration", action="fix or remove it"
            ) from error
        return config if isinstance(config, dict) else {}

    def proxies(self, engine: str) -> dict[str, str]:
        """Build arguments for the proxies that are configured for this engine (`unix:///var/run/docker.sock`), else for
        all. Raises InvalidOption."""
        configured = self.read().get("proxies")
        named = configured if isinstance(configured, dict) else {}
        found = named.get(engine, named.get("default"))
        found = found if isinstance(found, dict) else {}
        values = {name: str(found[key]) for key, name in _PROXIES.items() if found.get(key)}
        return {each: value for name, value in values.items() for each in (name, name.lower())}


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
                    return credential_of(entry)
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
            return Credential(str(found["Username"]), str(found["Secret"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidOption(f"the credential helper {program} did not return a credential", action="") from error
