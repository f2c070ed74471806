"""A private engine for all tests of this folder, or the daemon that SLIPWAY_TEST_BUILDER names; and a registry with a
password."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.buildkit.parts import Engine, Registry, busybox_context
from tests.engine import private_engine
from tests.servers import registry_server


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="engine-") as home:
        if named := os.environ.get("SLIPWAY_TEST_BUILDER"):
            yield Engine(named, Path(home))
            return
        with private_engine(Path(home)) as address:
            yield Engine(address, Path(home))


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    with (
        tempfile.TemporaryDirectory(prefix="registry-") as home,
        registry_server(Path(home), {"builder": "correct horse"}) as host,
    ):
        yield Registry(host, "builder", "correct horse")


@pytest.fixture
def context(tmp_path: Path) -> Callable[[str], Path]:
    """Make a build context with a static busybox and this Dockerfile."""
    return lambda dockerfile: busybox_context(tmp_path / "context", dockerfile)
