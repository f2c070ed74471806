"""The state directory of the embedded stack, its owner and its version."""

from __future__ import annotations

import json
import os
import pwd
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from prefect_slipway.infra.domain.errors import InvalidOption, StateFolderTooNew, StateFolderUnusable
from prefect_slipway.infra.local.lock import LOCK_FILE

VERSION_FILE = "version.json"


def _adopt(home: Path) -> None:
    """0 is a folder from before there were versions; what is in it is read as it is."""


# From each version to the next. A new one is due for whatever an older Slipway cannot read, such as the database of a
# newer Prefect.
_MIGRATIONS: tuple[Callable[[Path], None], ...] = (_adopt,)


def stack_home(env: Mapping[str, str]) -> Path:
    """SLIPWAY_HOME, absolute; unset, `slipway` in the platform's data folder.

    Raises InvalidOption for what is not a folder, StateFolderUnusable, StateFolderTooNew.
    """
    named = env.get("SLIPWAY_HOME")
    if not named:
        # Only then: a command that starts fast does not pay for it.
        import platformdirs

        home = Path(platformdirs.user_data_path("slipway"))
    else:
        home = Path(named).expanduser().absolute()
    _check_owner(home)
    _version(home)
    return home


def migrate(home: Path) -> None:
    """Migrate the data in `home` to this version, step by step. Call it while holding `home_lock`."""
    version = _version(home)
    for number in range(version, len(_MIGRATIONS)):
        _MIGRATIONS[number](home)
        _remember(home, number + 1)


def _check_owner(home: Path) -> None:
    try:
        if not stat.S_ISDIR(home.stat().st_mode):
            raise InvalidOption(
                f"SLIPWAY_HOME: {home} is not a directory", action="set it to a directory, or to a new path"
            )
        # The directory itself may be a volume made by somebody else: its content tells the owner of the state.
        owners = {_owner(home / name) for name in (VERSION_FILE, LOCK_FILE)} - {None, os.geteuid()}
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise InvalidOption(f"SLIPWAY_HOME: {home} cannot be created", action="a part of its path is a file") from error
    except OSError as error:
        raise StateFolderUnusable(f"the state directory {home} cannot be read ({error.strerror})") from error
    for owner in owners:
        raise StateFolderUnusable(f"the state directory {home} belongs to {_name(owner)}")


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except FileNotFoundError:
        return None


def _name(user: int | None) -> str:
    try:
        return f"the user {pwd.getpwuid(user or 0).pw_name}"
    except KeyError:
        return f"the user with the id {user}"


def _version(home: Path) -> int:
    """The version of what lies in `home`; of an empty folder, 0. Raises StateFolderTooNew."""
    try:
        noted = json.loads((home / VERSION_FILE).read_text(encoding="utf-8"))
        version, needs = int(noted["version"]), str(noted["slipway"])
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StateFolderUnusable(f"{home / VERSION_FILE} cannot be read") from error
    if version > len(_MIGRATIONS):
        raise StateFolderTooNew(f"the state directory {home} belongs to Slipway {needs} or newer")
    return version


def _remember(home: Path, version: int) -> None:
    from prefect_slipway.infra.common.distribution import VERSION
    from prefect_slipway.infra.common.private_files import write_private

    write_private(home / VERSION_FILE, json.dumps({"version": version, "slipway": VERSION}) + "\n")
