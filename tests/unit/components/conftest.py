"""A repository with components, and what `slipway plan` says about it; without any server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.planning.components import plan_components
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import open_run
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.values.components import ComponentsPlan
from tests.git_repository import commit, git, make_repository

IMAGE = "r.example/team/shop"


class Shop:
    """A work tree whose components are directories with a Dockerfile each."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self._home = home

    def commit(self, message: str, *names: str, **files: str) -> str:
        """Change the files of these names."""
        changed = dict.fromkeys(names, message) | files
        return commit(self.folder, message, changed)

    def git(self, *args: str) -> str:
        return git(self.folder, *args)

    def tag(self, *names: str) -> None:
        for name in names:
            self.git("tag", name)

    def write(self, text: str, *folders: str) -> None:
        """The release file, and a Dockerfile in each folder; committed."""
        files = {f"{folder}/Dockerfile" if folder else "Dockerfile": "FROM scratch\n" for folder in folders}
        commit(self.folder, "chore: components", {"slipway.toml": text, **files})

    def plan(self, source: str | None = None, **fields: Any) -> ComponentsPlan:
        request = ReleaseRequest.read(
            {"source": source or str(self.folder), "image": IMAGE, "config": {"allow": ["image"]}, **fields}
        )

        async def planned() -> ComponentsPlan:
            async with open_run(request, {"SLIPWAY_HOME": str(self._home)}) as run, await open_source(run) as checkout:
                await run.use_release_file(checkout)
                return (await plan_components(run, checkout))[0]

        return asyncio.run(planned())

    def versions(self, **fields: Any) -> Mapping[str, str | None]:
        """What would be released, by component."""
        return {each.name: each.version for each in self.plan(**fields).components if each.version is not None}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(make_repository(tmp_path / "shop", {"README": "1"}), tmp_path / "home")
