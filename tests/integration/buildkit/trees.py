"""Trees of files with all that a build context may hold."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

_NAMES = (
    *("a", "b", "a.b", "a-b", "A", "aa", ".hidden", "with space", "new\nline", "ünï", "ends.", "日本"),
    *("x.log", "y.log", "node_modules", "src", "\udcff\udcfe", "[x]", "star*", "back\\slash", "!bang", "#hash"),
)
_FILE_MODES = (0o644, 0o600, 0o755, 0o444, 0o4755, 0o2711, 0o1644, 0o000)
_FOLDER_MODES = (0o755, 0o700, 0o1777, 0o2755)


def make_tree(root: Path, seed: int, size: int = 40) -> None:
    """Fill `root` with about `size` entries, the same for the same seed."""
    dice = random.Random(seed)
    root.mkdir(exist_ok=True)
    folders, files = [root], []
    for _ in range(size):
        path = dice.choice(folders) / dice.choice(_NAMES)
        if os.path.lexists(path):
            continue
        kind = dice.randrange(12)
        if kind < 5:
            path.write_bytes(dice.randbytes(dice.choice((0, 1, 100, 70_000))))
            path.chmod(dice.choice(_FILE_MODES))
            files.append(path)
        elif kind < 8:
            path.mkdir()
            folders.append(path)
        elif kind == 8:
            path.symlink_to(dice.choice(("a", "../b", "/absolute", "nowhere", "src/../a")))
        elif kind == 9 and files:
            os.link(dice.choice(files), path)
        elif kind == 10:
            os.mkfifo(path)
        elif files:
            os.setxattr(dice.choice(files), "user.slipway", dice.randbytes(5))
    for path in [*files, *reversed(folders[1:])]:
        os.utime(path, ns=(0, 1_500_000_000_000_000_000 + dice.randrange(10**17)))
    for folder in folders[1:]:
        time = folder.stat().st_mtime_ns
        folder.chmod(dice.choice(_FOLDER_MODES))
        os.utime(folder, ns=(time, time))


def listing(root: Path) -> dict[str, tuple[object, ...]]:
    """What a tree is made of: type and mode, size and content, link target, time, and which names share an inode."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, str] = {}
    for folder, names, files in os.walk(root):
        for name in sorted([*names, *files]):
            path = Path(folder) / name
            status = path.lstat()
            relative = str(path.relative_to(root))
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = path.read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = str(path.readlink())
            time = None if stat.S_ISLNK(status.st_mode) else status.st_mtime_ns
            found[relative] = (status.st_mode, content, time, status.st_nlink if content is not None else 0)
            if status.st_nlink > 1 and content is not None:
                inodes.setdefault(status.st_ino, relative)
    return found
