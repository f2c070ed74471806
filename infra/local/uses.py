"""Which runs use the embedded stack now: a file each, whose lock the kernel releases if the process dies."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.local.connection import STATE_FILE
from prefect_slipway.infra.local.home import stack_home

FOLDER = "runs"


@contextmanager
def in_use(env: Mapping[str, str], name: str) -> Iterator[None]:
    """Note that the run `name` of this process uses this environment's stack. A note that cannot be written does not
    matter to the run: it warns whoever stops the stack."""
    with ExitStack() as exits:
        with suppress(OSError, SlipwayError):
            _note(stack_home(env), name, exits)
        yield


def uses(home: Path) -> list[str]:
    """The runs that use the stack now, each with its process; notes of dead processes are removed."""
    found = (_use(path) for path in sorted((home / FOLDER).glob("*")))
    return sorted(use for use in found if use)


def _note(home: Path, name: str, exits: ExitStack) -> None:
    if not (home / STATE_FILE).exists():
        return
    folder = home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor, path = tempfile.mkstemp(dir=folder)
    exits.callback(os.close, descriptor)
    exits.callback(Path(path).unlink, missing_ok=True)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    # Only now: an unlocked note without text is of a run that begins, one with text of a dead process.
    os.write(descriptor, f"{name} (process {os.getpid()})".encode(errors="replace"))


def _use(path: Path) -> str | None:
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as note:
        text = note.read()
        try:
            fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return text
        if text:
            path.unlink(missing_ok=True)
    return None
