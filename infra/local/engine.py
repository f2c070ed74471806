"""The builder on this machine: a running Docker engine, a buildkitd on PATH, or a private engine.

A private engine has no bridge and leaves the firewall alone, so RUN steps need the network mode `host` or `none`.
Nothing outside `home` is changed but for sockets in a runtime folder when `home` is too long for them.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from prefect_slipway.infra.common.docker_config import DEFAULT_ENGINE, docker_endpoint
from prefect_slipway.infra.common.private_files import private_folder
from prefect_slipway.infra.domain.errors import InvalidOption, StackError
from prefect_slipway.infra.local.daemon import DaemonSpec
from prefect_slipway.infra.local.findings import program

# sun_path of sockaddr_un(7) without its NUL; containerd's below is the longest socket an engine makes.
_SOCKET_PATH_LIMIT = 107
_LONGEST_SOCKET = "exec/containerd/containerd.sock.ttrpc"
_CERTS = "certs.d"
_CONFIG = {
    # Only with the containerd image store does the engine's BuildKit push by itself.
    "features": {"containerd-snapshotter": True},
    "builder": {"entitlements": {"network-host": True}},
}


@dataclass(frozen=True)
class FoundEngine:
    """`address`: of a running engine Slipway can use, None if there is none. `reason`: why not, or what was found."""

    address: str | None
    reason: str


def usable_engine() -> FoundEngine:
    """The engine that the docker command would use, if it runs and has the containerd image store."""
    try:
        named = docker_endpoint(os.environ).address
    except InvalidOption as error:
        return FoundEngine(None, error.cause)
    if not named.startswith("unix://"):
        return FoundEngine(None, f"docker's engine is {named.partition('://')[0]}://…, not a unix socket")
    candidates = [Path(named.removeprefix("unix://"))] if named != DEFAULT_ENGINE else _default_sockets()
    reasons = []
    for path in candidates:
        found = _look_at(path)
        if found.address is not None:
            return found
        reasons.append(f"{path}: {found.reason}")
    return FoundEngine(None, "; ".join(reasons))


def find_buildkitd() -> Path | None:
    """A buildkitd on PATH."""
    found = shutil.which("buildkitd")
    return Path(found) if found else None


def find_dockerd() -> Path | None:
    """A dockerd on PATH (or where Debian puts it, which an ordinary user's PATH may lack)."""
    found = program("dockerd")
    return Path(found) if found else None


def default_engine_answers() -> bool:
    """Whether the docker command finds an engine by itself, one that Slipway can use or not."""
    try:
        chosen = docker_endpoint(os.environ).address != DEFAULT_ENGINE
    except InvalidOption:
        return False
    return chosen or any(_info(socket) is not None for socket in _default_sockets())


def engine_address(home: Path) -> str:
    """Where the private engine of `home` listens. Raises StackError as `engine_daemon`."""
    return f"docker://{runtime_folder(home) / 'docker.sock'}"


def engine_daemon(home: Path) -> DaemonSpec:
    """A private engine with its state under `home/engine`: as root directly, as an ordinary user below rootlesskit.

    Raises StackError when no folder is fit for its sockets.
    """
    state = private_folder(home / "engine")
    run = runtime_folder(home)
    config = state / "daemon.json"
    config.write_text(json.dumps(_CONFIG | _storage(state)), encoding="utf-8")
    private_folder(_docker_config(home) / _CERTS)
    dockerd = (
        *(str(find_dockerd() or "dockerd"), "--config-file", str(config)),
        *("--data-root", str(state / "data"), "--exec-root", str(run / "exec")),
        *("--pidfile", str(run / "docker.pid"), "-H", f"unix://{run / 'docker.sock'}"),
        *("--bridge=none", "--iptables=false", "--ip6tables=false"),
    )
    return DaemonSpec(
        name="engine",
        argv=_as_root(home, dockerd) if os.geteuid() == 0 else _rootless(run, dockerd),
        ready=lambda: _info(run / "docker.sock") is not None,
        # A rootless engine looks for certs.d below XDG_CONFIG_HOME (moby: registry/config.go, CertsDir).
        env={"XDG_CONFIG_HOME": str(state / "config"), "XDG_RUNTIME_DIR": str(run)},
        stop_timeout_s=20.0,
    )


def trust_registry_ca(home: Path, registry: str, ca_file: Path) -> None:
    """Have the private engine of `home` accept `registry` (`host[:port]`) by the CA in `ca_file` (PEM).

    Takes effect at the next push, also in an engine that runs. Raises InvalidOption when the file cannot be read.
    """
    folder = private_folder(_docker_config(home) / _CERTS / registry)
    try:
        shutil.copyfile(ca_file, folder / "ca.crt")
    except OSError as error:
        raise InvalidOption(
            f"the CA file {ca_file} cannot be read: {error.strerror}", action="check the path in --registry-ca"
        ) from error


def buildkitd_address(home: Path) -> str:
    """Where a buildkitd of `home` listens. Raises StackError as `engine_daemon`."""
    return f"unix://{runtime_folder(home) / 'buildkitd.sock'}"


def buildkitd_daemon(home: Path, buildkitd: Path) -> DaemonSpec:
    """A buildkitd with its state under `home/engine`. Raises StackError when no folder is fit for its socket."""
    address = buildkitd_address(home)
    root = private_folder(home / "engine") / "buildkit"
    command = (
        *(str(buildkitd), "--addr", address, "--root", str(root)),
        *("--allow-insecure-entitlement", "network.host"),
    )
    path = Path(address.removeprefix("unix://"))
    return DaemonSpec(
        name="engine",
        argv=command if os.geteuid() == 0 else _rootless(path.parent, (*command, "--rootless")),
        ready=lambda: _accepts(path),
        stop_timeout_s=20.0,
    )


def runtime_folder(home: Path) -> Path:
    """The folder for the sockets of `home`'s engine, mode 0700: in it, or in a shorter place if its path is too long.

    Raises StackError when the shorter place belongs to somebody else.
    """
    inside = home / "engine" / "run"
    if _fits(inside):
        private_folder(home / "engine")
        return private_folder(inside)
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    base = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"slipway-{name}"
    if not _fits(folder):
        raise StackError(
            f"the paths {home} and {folder} are too long for a socket",
            action="set SLIPWAY_HOME to a directory with a shorter path",
        )
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise StackError(f"{folder} is not a private directory of this user", action="remove it")
    return folder


def _storage(state: Path) -> dict[str, str]:
    """Layers cannot be overlays on an overlay (a home inside a plain container): there they are copies."""
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    holder = next(folder for folder in (state, *state.parents) if folder in mounts or folder == folder.parent)
    return {"storage-driver": "native"} if mounts.get(holder) == "overlay" else {}


def _docker_config(home: Path) -> Path:
    """What stands in for /etc/docker (root) or ~/.config/docker."""
    return home / "engine" / "config" / "docker"


def _as_root(home: Path, dockerd: tuple[str, ...]) -> tuple[str, ...]:
    # In a mount namespace of its own the engine sees our folder as /etc/docker: certificates without a trace on the
    # machine; its layers' mounts go with it as well. Debian's docker.io brings the folder /etc/docker.
    script = 'mount --bind "$0" /etc/docker && exec "$@"'
    return (
        *("unshare", "--mount", "--propagation", "private"),
        *("sh", "-c", script, str(_docker_config(home)), *dockerd),
    )


def _rootless(run: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    # --net=host: there is no bridge to set up. --copy-up: the engine writes below both folders; there the machine's own
    # engine, if any, shows as links to folders of root's, which have to make room.
    # ROOTLESSKIT_STATE_DIR: dockerd asks rootlesskit there for its network driver and panics when there is none, as
    # with --net=host (moby: daemon/info_unix.go, fillRootlessVersion); it passes over a folder that is not there.
    script = 'rm -f /run/docker /run/containerd /etc/docker; ROOTLESSKIT_STATE_DIR=/nonexistent exec "$@"'
    return (
        *("rootlesskit", "--state-dir", str(run / "rootlesskit"), "--net=host"),
        *("--copy-up=/etc", "--copy-up=/run", "sh", "-c", script, "sh", *command),
    )


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _LONGEST_SOCKET)) <= _SOCKET_PATH_LIMIT


def _default_sockets() -> list[Path]:
    sockets = [Path(DEFAULT_ENGINE.removeprefix("unix://"))]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        sockets.append(Path(runtime) / "docker.sock")
    return sockets


def _look_at(path: Path) -> FoundEngine:
    if not path.exists():
        return FoundEngine(None, "no engine is running there")
    if not os.access(path, os.R_OK | os.W_OK):
        return FoundEngine(None, "this user has no permission to open the engine's socket")
    info = _info(path)
    if info is None:
        return FoundEngine(None, "no Docker engine answers there")
    if ["driver-type", "io.containerd.snapshotter.v1"] not in (info.get("DriverStatus") or []):
        return FoundEngine(None, "the engine does not use the containerd image store, which pushing requires")
    return FoundEngine(f"docker://{path}", f"Docker engine {info.get('ServerVersion', '')} at {path}")


def _info(path: Path) -> dict[str, Any] | None:
    """The Docker engine API's GET /info, None if nothing answers with it."""
    connection = http.client.HTTPConnection("docker", timeout=5.0)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5.0)
        connection.sock.connect(str(path))
        connection.request("GET", "/info")
        response = connection.getresponse()
        found = json.loads(response.read()) if response.status == 200 else None
        return found if isinstance(found, dict) else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
