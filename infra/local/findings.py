"""One finding of `slipway doctor`, and the commands that fix it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`found`: one sentence. `fix`: the exact command or setting that fixes it, None if nothing is wrong."""

    part: str
    found: str
    fix: str | None = None

    @property
    def ok(self) -> bool:
        return self.fix is None


def program(name: str) -> str | None:
    """The path of a program, also where only an administrator's PATH has it."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def install(*packages: str) -> str:
    """The command that installs Debian packages."""
    sudo = "" if os.getuid() == 0 else "sudo "
    return f"{sudo}apt-get install --no-install-recommends {' '.join(packages)}"
