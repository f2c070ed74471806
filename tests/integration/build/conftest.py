"""Docker engines that our command and docker buildx build on, and one that looks like a builder elsewhere."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.local.engine import engine_address
from tests.contract.buildkit.conftest import engine
from tests.contract.buildkit.parts import Engine
from tests.contract.buildkit.relay import Relay
from tests.engine import engine as engine_by_hand

__all__ = ["engine"]


@pytest.fixture(scope="session")
def plain_engine() -> Iterator[Engine]:
    """An engine as Docker installs it: without the containerd image store."""
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        home = Path(name)
        daemon = engine_by_hand(home)
        config = home / "engine" / "daemon.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"features": {}}))
        daemon.start()
        try:
            yield Engine(engine_address(home), home)
        finally:
            daemon.stop()


@pytest.fixture
async def remote(engine: Engine, tmp_path: Path) -> AsyncIterator[Engine]:
    """The engine's BuildKit, spoken to as to a daemon that knows of no images."""
    async with Relay(engine.upstream, path=tmp_path / "buildkitd.sock") as relay:
        yield Engine(relay.address, tmp_path)
