"""Whether an ordinary user may create user namespaces, which a rootless engine needs."""

from __future__ import annotations

import os
from pathlib import Path

from prefect_slipway.infra.common.account import login_name
from prefect_slipway.infra.local.findings import Finding, install, program

_PART = "user namespaces"

# Each switch, the value that forbids, and what it belongs to. Sources: user_namespaces(7); Debian's kernel patch;
# Ubuntu's AppArmor restriction since 23.10.
_SWITCHES = (
    ("user.max_user_namespaces", "0", "1000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)


def user_namespaces() -> Finding:
    """What a rootless engine needs of the kernel, of /etc/subuid and /etc/subgid, and of two programs."""
    for name, forbids, allows in _SWITCHES:
        if _switch(name) == forbids:
            return Finding(_PART, f"{name} is {forbids}", fix=f"sudo sysctl -w {name}={allows}")
    user = login_name()
    if user is None:
        fix = "run as a user that has an entry in /etc/passwd"
        return Finding(_PART, f"the user id {os.getuid()} has no name, which a rootless engine needs", fix=fix)
    for file in ("/etc/subuid", "/etc/subgid"):
        if not (_has_range(file, user) or _ids_are_elsewhere()):
            fix = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
            return Finding(_PART, f"{file} gives {user} no subordinate ids", fix=fix)
    for name, package in (("rootlesskit", "rootlesskit"), ("newuidmap", "uidmap")):
        if program(name) is None:
            return Finding(_PART, f"the program {name} is not installed", fix=install(package))
    return Finding(_PART, "allowed for ordinary users")


def _switch(name: str) -> str | None:
    try:
        return Path("/proc/sys", *name.split(".")).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _ids_are_elsewhere() -> bool:
    """Whether a directory service gives subordinate ids: nsswitch.conf, as subuid(5) says."""
    lines = _lines("/etc/nsswitch.conf")
    return any(line.startswith("subid:") and line.split()[1:] != ["files"] for line in lines)


def _has_range(file: str, user: str) -> bool:
    """By name or by number, as subuid(5) says."""
    return any(line.startswith((f"{user}:", f"{os.getuid()}:")) for line in _lines(file))


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
