"""The connection to a repository on a forge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from prefect_slipway.infra.domain.forge_place import ForgePlace
from prefect_slipway.infra.forges.github import Gitea, GitHub
from prefect_slipway.infra.forges.gitlab import GitLab
from prefect_slipway.infra.forges.http import ForgeHttp
from prefect_slipway.infra.forges.pulls import Pulls
from prefect_slipway.infra.forges.release import Forge


class Repository(Forge, Pulls, Protocol):
    """Its releases and its pull requests."""


_KINDS: Mapping[str, Callable[[ForgeHttp, str], Repository]] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}


@asynccontextmanager
async def open_forge(place: ForgePlace, token: str, ca_file: Path | None = None) -> AsyncIterator[Repository]:
    """Within: the repository. Raises InvalidOption for a CA file that cannot be read, ForgeErrors."""
    # Gitea takes `Bearer` for OAuth's tokens alone in older versions.
    scheme = "token" if place.kind == "gitea" else "Bearer"
    async with ForgeHttp(place.api, token, scheme=scheme, ca_file=ca_file) as http:
        yield _KINDS[place.kind](http, place.repository)
