"""What a killed engine leaves in the state directory: processes, mounts, files of other users."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import psutil

from prefect_slipway.infra.domain.errors import StackError

# All that Slipway keeps in its home. A purge removes this and no more: SLIPWAY_HOME may name any folder.
STATE = (
    *("run", "log", "registry", "vault", "prefect", "engine", "claims", "work", "prefect-client", "runs"),
    *("stack.json", "ports.json", "version.json", "lock"),
)

_ENGINE = "engine"
_ENGINE_PROGRAMS = ("dockerd", "containerd", "buildkit", "runc", "rootlesskit", "slirp4netns", "docker-proxy")


def end_processes(home: Path) -> None:
    """Kill processes that outlived an engine of this home: its helpers and its build steps."""
    left = [process for process in psutil.process_iter() if _belongs(process, home)]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5.0)


def unmount_all(home: Path) -> None:
    """Detach every mount that an engine of this home made, innermost first. Its folders and `home` itself may be mounts
    of the user's."""
    folder = home / _ENGINE
    for point in reversed(_mounts_below(folder)):
        if point.parent in {folder, folder.parent}:
            continue
        subprocess.run(["umount", "--lazy", str(point)], check=False, capture_output=True)


def remove_state(home: Path) -> None:
    """Remove all of Slipway's state, and the folder itself if nothing else is in it.

    Raises StackError if something cannot be removed.
    """
    for name in STATE:
        path = home / name
        if path.is_dir() and not path.is_symlink():
            _remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        home.rmdir()


def _belongs(process: psutil.Process, home: Path) -> bool:
    engine = home / _ENGINE
    try:
        if process.name().startswith(_ENGINE_PROGRAMS) and any(_names(engine, word) for word in process.cmdline()):
            return True
        # A build step's root file system is made of layers of the engine: proc_pid_mountinfo(5).
        escaped = Path(str(engine).replace(" ", r"\040"))
        return any(line.split(" ")[4] == "/" and _names(escaped, line) for line in _mounts(str(process.pid)))
    except (psutil.Error, OSError):
        return False


def _names(folder: Path, text: str) -> bool:
    """Whether `text` has a path below `folder`, not one that only has its names, as /mnt/data of /data."""
    return re.search(rf"(?:^|[=:,\s\"']|//){re.escape(str(folder))}/", text) is not None


def _mounts_below(folder: Path) -> list[Path]:
    points = []
    for line in _mounts("self"):
        # Space, tab, newline and backslash are written as three octal digits.
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4]))
        if point.is_relative_to(folder):
            points.append(point)
    return points


def _mounts(process: str) -> list[str]:
    """The paths in them are decoded as those of files are."""
    return os.fsdecode(Path(f"/proc/{process}/mountinfo").read_bytes()).rstrip("\n").split("\n")


def _remove_tree(path: Path) -> None:
    try:
        shutil.rmtree(path)
        return
    except PermissionError as error:
        # A rootless engine's files belong to subordinate user ids, which only a user namespace may remove.
        if os.getuid() == 0 or shutil.which("rootlesskit") is None:
            raise StackError(f"{path} cannot be removed (permission denied)", action=f"sudo rm -rf {path}") from error
    removal = subprocess.run(["rootlesskit", "rm", "-rf", str(path)], check=False, capture_output=True)
    if removal.returncode != 0:
        raise StackError(
            f"{path} cannot be removed in a user namespace (exit status {removal.returncode})",
            action=f"sudo rm -rf {path}",
        )
