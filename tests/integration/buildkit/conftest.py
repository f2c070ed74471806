"""A private engine that both our client and docker buildx build on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.buildkit.parts import Engine
from tests.engine import private_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="engine-") as home, private_engine(Path(home)) as address:
        yield Engine(address, Path(home))
