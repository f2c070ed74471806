"""`--add-host NAME:host-gateway`, as docker buildx has it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.build.events import BuildEvent
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.local.daemon import Daemon
from prefect_slipway.infra.local.engine import engine_address, engine_daemon
from tests.contract.buildkit.parts import BASE, Engine, build, busybox_context, output_of, run
from tests.integration.buildkit.buildx import buildx

HOSTS = BASE + run("/bin/busybox cat /etc/hosts")


@pytest.fixture
def engine_with_gateway() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="engine-") as home:
        spec = engine_daemon(Path(home))
        daemon = Daemon(
            replace(spec, argv=(*spec.argv, "--host-gateway-ip", "192.0.2.7")), Path(home, "run"), Path(home, "log")
        )
        daemon.start()
        try:
            yield Engine(engine_address(Path(home)), Path(home))
        finally:
            daemon.stop()


async def test_the_engines_address_is_put_in(engine_with_gateway: Engine, tmp_path: Path) -> None:
    """The step sees it, and docker buildx's build with the same option is the same to the cache."""
    context = busybox_context(tmp_path / "context", HOSTS)
    events: list[BuildEvent] = []
    hosts = (("here", "host-gateway"), ("there", "192.0.2.9"))
    await build(engine_with_gateway.address, context, add_hosts=hosts, events=events)
    assert "192.0.2.7\there\n" in output_of(events)
    options = ("--network=none", "--add-host=here:host-gateway", "--add-host=there:192.0.2.9")
    assert buildx(engine_with_gateway, context, context / "Dockerfile", "type=cacheonly", *options)


async def test_an_engine_without_one_is_named(engine: Engine, tmp_path: Path) -> None:
    """A daemon that tells no gateway: said, with what to do instead."""
    context = busybox_context(tmp_path / "context", HOSTS)
    with pytest.raises(InvalidOption, match="which host-gateway needs"):
        await build(engine.address, context, add_hosts=(("here", "host-gateway"),))
