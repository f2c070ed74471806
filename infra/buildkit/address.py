"""Where a BuildKit daemon listens, as people write it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from prefect_slipway.infra.domain.errors import InvalidOption

# sun_path of sockaddr_un(7), less the terminating NUL.
_SOCKET_PATH_LIMIT = 107
_TCP = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+):(?P<port>[0-9]{1,5})")
# A container's name or id (moby, daemon/names/names.go).
_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ACTION = "name the builder as tcp://HOST:PORT, unix://PATH, docker://[PATH] or docker-container://NAME"


class TlsFiles(NamedTuple):
    """PEM files for a builder on TCP. `ca`: who must have signed the server's certificate, None for the system's CAs.
    `cert` and `key`: what this client shows of itself, None for none. `server_name`: the name the server's certificate
    must carry, None for the address's host.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None


class BuilderAddress(NamedTuple):
    """A parsed address. `tcp` has `host` and `port` (and `tls`), `unix` and `docker` have `path`, and
    `docker-container` has the container's name as `host`. An engine without a `path` is the one of the `docker`
    command."""

    kind: Literal["tcp", "unix", "docker", "docker-container"]
    host: str = ""
    port: int = 0
    path: Path = Path()
    tls: TlsFiles | None = None

    @classmethod
    def parse(cls, text: str, tls: TlsFiles | None = None) -> BuilderAddress:
        """Read `tcp://HOST:PORT`, `unix://PATH`, `docker://[PATH]` (a Docker engine's socket) or
        `docker-container://NAME` (a buildkitd in a container of an engine). Without a path, and of a container, it is
        the engine that the `docker` command talks to.

        Raises InvalidOption.
        """
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in {"tcp", "unix", "docker", "docker-container"}:
            raise InvalidOption(f"{text!r} is not a builder's address", action=_ACTION)
        if tls is not None and (tls.cert is None) != (tls.key is None):
            raise InvalidOption("a client certificate and its key belong together", action="pass both files or neither")
        if scheme == "tcp":
            return cls._parse_tcp(text, rest, tls)
        if tls is not None:
            raise InvalidOption(f"{text!r}: TLS files belong to a tcp:// address", action="remove the TLS files")
        if scheme == "docker-container":
            if not _CONTAINER.fullmatch(rest):
                raise InvalidOption(f"{text!r} is not docker-container://NAME", action=_ACTION)
            return cls("docker-container", host=rest)
        if scheme == "docker" and not rest:
            return cls("docker")
        path = Path(rest)
        if not path.is_absolute():
            raise InvalidOption(
                f"{text!r}: the socket's path must be absolute", action="use three slashes: unix:///run/…"
            )
        if len(bytes(path)) > _SOCKET_PATH_LIMIT:
            raise InvalidOption(
                f"the socket's path is longer than the {_SOCKET_PATH_LIMIT} bytes the system allows",
                action="put the socket in a directory with a shorter path",
            )
        return cls("docker" if scheme == "docker" else "unix", path=path)

    @classmethod
    def _parse_tcp(cls, text: str, rest: str, tls: TlsFiles | None) -> BuilderAddress:
        match = _TCP.fullmatch(rest)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise InvalidOption(f"{text!r} is not tcp://HOST:PORT", action=_ACTION)
        return cls("tcp", host=match["host"].strip("[]"), port=int(match["port"]), tls=tls)

    @property
    def has_path(self) -> bool:
        return self.path != Path()

    def __str__(self) -> str:
        if self.kind == "docker-container":
            return f"{self.kind}://{self.host}"
        if self.kind != "tcp":
            return f"{self.kind}://{self.path if self.has_path else ''}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"
