"""A new bare repository for what is fetched from a remote."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from prefect_slipway.infra.common.removal import remove_tree
from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.source.causes import run_git

T = TypeVar("T")

_OTHER_FORMAT = "mismatched algorithms"  # git's fetch-pack.c


async def first_fetch(repository: Path, settings: Mapping[str, str], fetch: Callable[[], Awaitable[T]]) -> T:
    """Create the repository with these settings (git-config(1)), and fetch into it; gives what `fetch` gives.

    Its object format (git-init(1), `--object-format`) is the remote's, which only a fetch tells. Nearly all have SHA-1.
    Raises what `fetch` raises.
    """
    try:
        await _create(repository, settings, "sha1")
        return await fetch()
    except SourceError as error:
        if _OTHER_FORMAT not in (error.details or ""):
            raise
    await asyncio.to_thread(remove_tree, repository)
    await _create(repository, settings, "sha256")
    return await fetch()


async def _create(repository: Path, settings: Mapping[str, str], object_format: str) -> None:
    how = ("--quiet", "--bare", "--template=", f"--object-format={object_format}")
    await run_git(str(repository), "init", *how, str(repository))
    for name, value in settings.items():
        await run_git(str(repository), "config", name, value, cwd=repository)
