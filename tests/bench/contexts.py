"""Build contexts on disk, of random content, which nothing can compress or has seen before."""

from __future__ import annotations

import os
from pathlib import Path

from tests.releases import run_line

_COPY = "FROM scratch\nCOPY . /\n"
_FILES_PER_FOLDER = 100
FIRST_LINE = 1_000_001


def small(folder: Path) -> Path:
    """A Dockerfile and one small file."""
    (_made(folder) / "file").write_bytes(os.urandom(2000))
    return folder


def one_file(folder: Path, mib: int = 1024) -> Path:
    """One file of `mib` MiB."""
    with (_made(folder) / "file").open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    return folder


def many_files(folder: Path, count: int, size: int = 2000) -> Path:
    """`count` files of `size` bytes, a hundred a folder."""
    _made(folder)
    for number in range(count):
        parent = folder / f"{number // _FILES_PER_FOLDER:05}"
        if number % _FILES_PER_FOLDER == 0:
            parent.mkdir()
        (parent / f"{number % _FILES_PER_FOLDER:02}").write_bytes(os.urandom(size))
    return folder


def change_one(folder: Path) -> None:
    """Write one of the files of `many_files` anew."""
    (folder / "00000" / "00").write_bytes(os.urandom(2000))


def logging(folder: Path, busybox: Path, lines: int, steps: int = 20) -> Path:
    """A build that counts from FIRST_LINE in `lines` lines, in steps whose output the daemon does not clip.

    `lines`: 0 for the same steps without output.
    """
    (_made(folder) / "busybox").write_bytes(busybox.read_bytes())
    (folder / "busybox").chmod(0o755)
    each = lines // steps
    starts = (FIRST_LINE + step * each for step in range(steps))
    # The number of a step's last line makes each a command of its own, also where it is below the first.
    counting = (
        run_line(f"exec /bin/busybox seq {start} {start + each - 1} # {step}") for step, start in enumerate(starts)
    )
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY busybox /bin/busybox\n" + "".join(counting))
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text(_COPY)
    return folder
