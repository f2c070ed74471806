"""The embedded registry: Debian's docker-registry on loopback, with a user and a password."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.common.private_files import private_folder, write_private
from prefect_slipway.infra.local.daemon import DaemonSpec
from prefect_slipway.infra.local.findings import Finding, install, program
from prefect_slipway.infra.local.probe import http_status

# The registry verifies the hash at every single request. Stretching protects passwords that can be guessed;
# these are random, so the hash may be as cheap as bcrypt has it (4 takes 2 ms, 10 takes 60 ms).
_BCRYPT_COST = 4


def examine_registry() -> Finding:
    """Whether the registry can be started here."""
    path = program("docker-registry")
    if path is None:
        return Finding("registry", "the program docker-registry is not installed", fix=install("docker-registry"))
    return Finding("registry", f"{path}, not started")


def registry_spec(home: Path, port: int) -> DaemonSpec:
    """How to run the registry on 127.0.0.1:`port` with its images below `home`/registry.

    Writes its configuration. Its users are those of the last `write_users`, none if there was no such call.
    """
    folder = private_folder(home / "registry")
    if not _users_file(home).exists():
        # Without the file the registry would make up a user and print the password into its log.
        write_users(home, {})
    config = folder / "config.yml"
    # JSON is YAML. `http.secret`, which signs upload sessions, is left out: the registry makes one up.
    settings = {
        "version": "0.1",
        "log": {"level": "warn", "formatter": "text", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": {"htpasswd": {"realm": "slipway", "path": str(_users_file(home))}},
    }
    write_private(config, json.dumps(settings, indent=2))
    return DaemonSpec(
        name="registry",
        argv=("docker-registry", "serve", str(config)),
        ready=lambda: http_status(port, "/v2/") in {200, 401},
    )


def write_users(home: Path, users: Mapping[str, str]) -> None:
    """Make `users` (name to password) the registry's only users.

    A running registry picks the change up by itself. Only bcrypt hashes are written (distribution accepts no
    other kind).
    """
    import bcrypt  # of the extra `local`

    lines = [
        f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(_BCRYPT_COST)).decode()}\n"
        for name, password in users.items()
    ]
    private_folder(home / "registry")
    write_private(_users_file(home), "".join(lines))


def knows_user(home: Path, name: str, password: str) -> bool:
    """Whether the registry lets this user in with this password."""
    import bcrypt  # of the extra `local`

    try:
        lines = _users_file(home).read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    hashes = [line.partition(":")[2] for line in lines if line.partition(":")[0] == name]
    return any(bcrypt.checkpw(password.encode(), known.encode()) for known in hashes)


def repositories(home: Path) -> list[str]:
    """The repositories that have a tag, whether or not the registry runs."""
    # distribution: registry/storage/paths.go
    folder = home / "registry" / "data" / "docker" / "registry" / "v2" / "repositories"
    tags = [path for path in folder.glob("**/_manifests/tags") if any(path.iterdir())]
    return sorted(str(path.relative_to(folder).parent.parent) for path in tags)


def _users_file(home: Path) -> Path:
    return home / "registry" / "htpasswd"
