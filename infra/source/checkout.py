"""A source that is ready to build: a directory on this machine, and what identifies it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from prefect_slipway.infra.common.removal import remove_tree
from prefect_slipway.infra.domain.errors import SourceMissing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkout:
    """The build context and its identity. Closing removes what was fetched for it; a user's directory stays.

    `path`: the directory to build from. `name`: the source's own name. `fingerprint`: the same for the same
    content (`git:` a revision, `archive:` a checksum, `tree:` a hash over a directory's entries). `revision`:
    the full git commit id, None without one. `source_url`: for the OCI label
    `org.opencontainers.image.source`, without user information, None for a place on this machine.
    `committed_at`: seconds since the epoch of the commit, of an archive's newest entry, None for a plain
    directory. `dirty`: the directory differs from `revision`. `repository`: where git finds the repository (a
    work tree's top, or a fetched repository's own directory). `subdirectory`: of `path` in the repository or
    archive, "" at its root. `temporary`: the folder that closing removes. `ca_file`: trusted for the repository's
    server, None for git's own settings. `ref`: what was fetched, as it was asked for; None for a default branch, and
    where nothing was fetched. `branch`: the branch that it names, "" for a tag and for a commit id.
    """

    path: Path
    name: str
    fingerprint: str
    revision: str | None = None
    source_url: str | None = None
    committed_at: int | None = None
    dirty: bool = False
    repository: Path | None = None
    subdirectory: str = ""
    temporary: Path | None = None
    ca_file: Path | None = None
    ref: str | None = None
    branch: str = ""

    @property
    def is_repository_root(self) -> bool:
        """Whether the source is a whole git repository, whose tags then are its versions."""
        return self.repository is not None and not self.subdirectory

    @property
    def top(self) -> Path:
        """The directory that all of the source lies in, of which `path` may be a part."""
        return self.temporary or self.repository or self.path

    @property
    def root(self) -> Path:
        """The top of the repository's or archive's files, of which `path` may be a part."""
        return self.path.parents[len(Path(self.subdirectory).parts) - 1] if self.subdirectory else self.path

    async def close(self, *, keep_repository: bool = False) -> None:
        """Remove what was fetched. Safe to call twice. `keep_repository`: for a ledger that still needs it.

        Raises OSError.
        """
        if self.temporary is None:
            return
        if keep_repository and self.repository is not None:
            for entry in await asyncio.to_thread(_entries, self.temporary):
                if entry != self.repository:
                    await asyncio.to_thread(remove_tree, entry)
        else:
            await asyncio.to_thread(remove_tree, self.temporary)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.temporary is not None:
            await asyncio.to_thread(remove, self.temporary)


def _entries(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return list(folder.iterdir())
    return []


def enter_subdirectory(root: Path, subdirectory: str, source: str) -> Path:
    """The directory below `root`; symbolic links may lead on inside, not outside. Raises SourceMissing."""
    path = (root / subdirectory).resolve()
    if not path.is_dir() or not path.is_relative_to(root.resolve()):
        raise SourceMissing(f"{source} has no directory {subdirectory!r}", action="check --path")
    return path


def remove(path: Path) -> None:
    """Remove what was fetched. Failures are logged, and do not fail the run."""
    try:
        remove_tree(path)
    except OSError as error:
        logger.warning("%s could not be removed: %s", path, error.strerror or type(error).__name__)
