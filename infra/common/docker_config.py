"""What docker keeps in `config.json` beside credentials: proxies, and which engine the `docker` command talks to.

Format: docker/cli, cli/config/configfile/file.go.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prefect_slipway.infra.domain.errors import InvalidOption

DEFAULT_ENGINE = "unix:///var/run/docker.sock"
"""Where docker's engine listens if nothing else is said."""


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
            config = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InvalidOption(
                f"{self.file} is not a readable docker configuration", action="fix or remove it"
            ) from error
        return config if isinstance(config, dict) else {}


class DockerEndpoint(NamedTuple):
    """`address`: an engine's, as docker writes it (`unix:///PATH`, `tcp://HOST:PORT`). `certificates`: a folder with
    ca.pem, cert.pem, key.pem, None without TLS. `verified`: whether its certificate must be signed by the CA."""

    address: str
    certificates: Path | None = None
    verified: bool = True


def docker_endpoint(env: Mapping[str, str], context: str = "") -> DockerEndpoint:
    """The engine of this context, else the one that the `docker` command would talk to by DOCKER_HOST, DOCKER_CONTEXT
    and its configuration (cli/command/cli.go). Raises InvalidOption for what cannot be read."""
    named = env.get("DOCKER_HOST", "")
    config = DockerConfig.from_env(env)
    if not context and not named:
        context = env.get("DOCKER_CONTEXT") or str(config.read().get("currentContext") or "")
    if context not in {"", "default"}:
        return _of_context(config.folder / "contexts", context)
    # docker/cli `opts`: either variable turns TLS on.
    verified = bool(env.get("DOCKER_TLS_VERIFY"))
    certificates = Path(env.get("DOCKER_CERT_PATH") or config.folder) if verified or env.get("DOCKER_TLS") else None
    return DockerEndpoint(named or DEFAULT_ENGINE, certificates, verified)


def docker_proxies(env: Mapping[str, str]) -> dict[str, str]:
    """Build arguments for the proxies that docker's configuration has for the engine of `docker_endpoint`, else for
    all. Raises InvalidOption as it does."""
    configured = DockerConfig.from_env(env).read().get("proxies")
    if not isinstance(configured, dict) or not configured:
        return {}
    found = configured.get(docker_endpoint(env).address, configured.get("default"))
    found = found if isinstance(found, dict) else {}
    values = {name: str(found[key]) for key, name in _PROXIES.items() if found.get(key)}
    return {each: value for name, value in values.items() for each in (name, name.lower())}


def _of_context(folder: Path, name: str) -> DockerEndpoint:
    """As cli/context/store keeps it."""
    key = hashlib.sha256(name.encode()).hexdigest()
    try:
        endpoint = json.loads((folder / "meta" / key / "meta.json").read_text(encoding="utf-8"))["Endpoints"]["docker"]
        address, unverified = str(endpoint["Host"]), bool(endpoint.get("SkipTLSVerify"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidOption(
            f"docker has no readable context {name!r}", action="list the contexts with `docker context ls`"
        ) from error
    certificates = folder / "tls" / key / "docker"
    return DockerEndpoint(address, certificates if certificates.is_dir() or unverified else None, not unverified)
