"""Slipway's flows where people have them: installed from the wheel, in a folder and a repository of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installed import Installed, build_wheel, copy_tree, install

# A cluster in this process, with the session's real registry, Vault and Prefect server.
from tests.integration.deploy.conftest import (  # noqa: F401
    images,
    kubernetes,
    place,
    prefect_client,
    pytest_itemcollected,
    pytest_runtest_teardown,
)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Slipway's distributions are built of."""
    return copy_tree(tmp_path_factory.mktemp("built") / "tree")


@pytest.fixture(scope="session")
def wheel(tree: Path) -> Path:
    return build_wheel(tree, tree.parent / "wheel")


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """With all that the embedded stack needs."""
    return install(wheel, tmp_path_factory.mktemp("installed") / "venv")
