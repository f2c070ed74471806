"""Find the credential helper on PATH, where docker looks for it."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from prefect_slipway.infra.domain.errors import PartMissing

_PROGRAM = "docker-credential-slipway"


def put_on_path() -> Path | None:
    """Make sure that docker finds the helper; returns the link created for it, None if not needed.

    Raises PartMissing when there is no folder on PATH that takes one.
    """
    if shutil.which(_PROGRAM) is not None:
        return None
    installed = _installed()
    for folder in _folders():
        link = folder / _PROGRAM
        try:
            folder.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)  # of an installation that is no more: otherwise it would have been found
            link.symlink_to(installed)
        except OSError:
            continue
        return link
    raise PartMissing(
        f"the program {_PROGRAM} is not on PATH, so docker cannot find it",
        action=f'export PATH="$PATH:{installed.parent}", or link it from a directory on PATH',
    )


def take_off_path() -> None:
    """Remove the link that `put_on_path` made, if it made one."""
    for folder in _folders():
        link = folder / _PROGRAM
        if link.is_symlink() and link.readlink() == _installed():
            link.unlink()


def _installed() -> Path:
    return Path(sysconfig.get_path("scripts")) / _PROGRAM


def _folders() -> list[Path]:
    """The folders for a user's, or the machine's, own programs that PATH names."""
    on_path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    candidates = [Path.home() / ".local" / "bin", Path.home() / "bin", Path("/usr/local/bin")]
    return [folder for folder in candidates if str(folder) in on_path]
