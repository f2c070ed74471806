"""Unpack archives that may be hostile: nothing outside the target, no devices, no bombs.

Members are written here and not by `tarfile` and `zipfile`, so that one set of rules holds for both, whatever Python
runs (its own filter for tar files let links lead outside until 2025, CVE-2025-4517).
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.source.limits import UnpackLimits, shortened, unusable
from prefect_slipway.infra.source.members import BadArchive, Member, link_target, members_of

_MOST_LINKS = 40  # on the way to a file; the kernel goes no further


def unpack(archive: Path, target: Path, shown: str, limits: UnpackLimits, check: Callable[[], None]) -> int:
    """Unpack a tar or zip file into the new directory `target`; returns its newest entry's time.

    `shown`: the archive, for messages. `check`: called often; what it raises ends the work. Files get the mode 0644 or
    0755 and their times. Raises SourceError for what is not an archive, holds nothing or is not safe to unpack.
    """
    target.mkdir(mode=0o755)
    try:
        with members_of(archive) as members:
            newest = _Tree(target, limits, check).write_all(members)
    except BadArchive as error:
        raise SourceError(
            f"{shown} {error}",
            action="use tar (.gz, .xz, .bz2) or zip without a password; if it is one already, ask its publisher",
        ) from error
    if newest is None:
        raise SourceError(f"{shown} is empty", action="check that this is the right archive")
    return newest


@dataclass
class _Tree:
    """The directory that is being filled."""

    root: Path
    limits: UnpackLimits
    check: Callable[[], None]
    _links: dict[str, str] = field(default_factory=dict)
    _directories: dict[str, int] = field(default_factory=dict)
    _entries: int = 0
    _bytes: int = 0
    _names_bytes: int = 0

    def write_all(self, members: Iterator[Member]) -> int | None:
        newest = None
        for member in members:
            self.check()
            self._count()
            self._write(member)
            newest = member.modified if newest is None else max(newest, member.modified)
        for link in self._links:
            self.check()
            if not self._stays_inside(link):
                raise BadArchive(f"contains a link that leads outside: {shortened(link)}")
        for name, modified in self._directories.items():
            os.utime(self.root / name, (modified, modified))
        return newest

    def _write(self, member: Member) -> None:
        name = self._checked(member.name)
        path = self.root / name
        if member.kind == "directory":
            self._make_directory(name)
            self._keep(name)
            self._directories[name] = member.modified
            return
        if name == ".":
            raise BadArchive("contains a member without a name")
        self._make_directory(posixpath.dirname(name) or ".")
        if name in self._links or path.is_file():
            path.unlink()  # as tar does, the later member counts
            self._links.pop(name, None)
        elif path.is_dir():
            raise BadArchive(f"contains {shortened(name)} as a directory and as something else")
        if member.kind == "file":
            self._write_file(path, member)
            os.utime(path, (member.modified, member.modified))
        elif member.kind == "symlink":
            self._write_link(name, member)
        elif member.kind == "hardlink":
            self._write_hard_link(path, self._checked(member.target))
        else:
            raise BadArchive(f"contains a {member.kind}: {shortened(name)}")

    def _write_file(self, path: Path, member: Member) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in member.chunks():
                self.check()
                self._bytes += len(chunk)
                if self._bytes > self.limits.total_bytes:
                    raise BadArchive(f"unpacks to more than {self.limits.total_bytes} bytes")
                file.write(chunk)
            os.fchmod(file.fileno(), 0o755 if member.executable else 0o644)

    def _write_link(self, name: str, member: Member) -> None:
        target = link_target(member)
        leads = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if not target or "\0" in target or target.startswith("/") or leads.split("/")[0] == "..":
            raise BadArchive(f"contains a link that leads outside: {shortened(name)}")
        if unusable(target):
            raise BadArchive(f"contains a link with a target that is too long: {shortened(name)}")
        (self.root / name).symlink_to(target)
        self._keep(name + target)
        self._links[name] = target

    def _write_hard_link(self, path: Path, name: str) -> None:
        first = self.root / name
        if name in self._links or not first.is_file():
            raise BadArchive(f"contains a link to {shortened(name)}, which is not a file in it")
        path.hardlink_to(first)

    def _make_directory(self, name: str) -> None:
        if (self.root / name).is_dir():  # no link: none is on the way
            return
        for end in [*(i for i, character in enumerate(name) if character == "/"), len(name)]:
            part = self.root / name[:end]
            if not part.is_dir():
                if part.exists() or part.is_symlink():
                    raise BadArchive(f"contains {shortened(name[:end])} as a directory and as something else")
                self._count()
                part.mkdir()
                part.chmod(0o755)

    def _checked(self, name: str) -> str:
        """The member's path in normal form, which stays inside and goes through no symbolic link."""
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise BadArchive(f"contains a member that leads outside: {shortened(name)}")
        path = "/".join(parts) or "."
        if wrong := unusable(path):
            raise BadArchive(f"contains {wrong}")
        for count in range(1, len(parts)):
            if "/".join(parts[:count]) in self._links:
                raise BadArchive(f"contains a member behind a link: {shortened(name)}")
        return path

    def _stays_inside(self, link: str) -> bool:
        """Whether a link leads, over other links too, to what is inside; as the kernel goes (path_resolution(7))."""
        ahead, here, followed = link.split("/")[::-1], list[str](), 0
        while ahead and followed <= _MOST_LINKS:
            part = ahead.pop()
            if part == ".." and not here:
                return False
            if part == "..":
                here.pop()
            elif part not in {"", "."}:
                here.append(part)
                target = self._links.get("/".join(here))
                if target is not None:
                    followed += 1
                    here.pop()
                    ahead += target.split("/")[::-1]
        return True

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self.limits.entries:
            raise BadArchive(f"contains more than {self.limits.entries} entries")

    def _keep(self, name: str) -> None:
        """A name is kept in memory until the end."""
        self._names_bytes += len(name)
        if self._names_bytes > self.limits.names_bytes:
            raise BadArchive(f"contains folders and links with names of more than {self.limits.names_bytes} bytes")
