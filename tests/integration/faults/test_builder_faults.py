"""A builder that is not what it should be, or that goes away for a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.local.engine import engine_address
from tests.certificates import make_certificates
from tests.engine import engine, kill, private_engine, remove_snapshot
from tests.faults import front
from tests.integration.faults.conftest import Make, OwnRegistry
from tests.releases import BASE, Traces, complaint, result_of, run_line
from tests.warm import WarmStarter


def test_a_builder_with_another_ca_is_refused(
    commands: WarmStarter, traces: Traces, own_registry: OwnRegistry, source: Make, tmp_path: Path
) -> None:
    """A certificate that --builder-ca did not sign: said at once, and not tried again."""
    folder = source()
    theirs, ours = make_certificates(tmp_path / "theirs"), make_certificates(tmp_path / "ours")
    with front(own_registry.host, theirs) as listening:
        options = ("--builder", f"tcp://{listening.host}", "--builder-ca", str(ours.ca))
        ended = commands.run("release", folder, *options, "--format", "json")
    said = complaint(ended)
    assert said.startswith(f"builder tcp://{listening.host}: ")
    assert "Next: check the builder's CA, client certificate and server name" in said
    assert ended.stderr.count("> provision builder\n") == 1
    traces.assert_failed(folder.name, "certificate")


def test_a_builder_that_is_none_is_said(
    commands: WarmStarter, traces: Traces, own_registry: OwnRegistry, source: Make
) -> None:
    """A registry's address in place of a BuildKit daemon's."""
    folder = source()
    builder = f"tcp://{own_registry.host}"
    said = complaint(commands.run("release", folder, "--builder", builder, "--format", "json"))
    assert said.startswith(f"builder {builder}: ")
    assert "Next: check that the address belongs to a BuildKit daemon" in said
    traces.assert_failed(folder.name, f"builder {builder}")


@pytest.mark.root
def test_a_builder_that_comes_back_finishes_the_release(
    commands: WarmStarter, traces: Traces, source: Make, short_path: Path
) -> None:
    """The daemon dies in the middle of a step and is started again: the release goes on by itself, one version."""
    folder = source(BASE + run_line("echo now; exec sleep 2"))
    daemon = engine(short_path)
    daemon.start()
    try:
        builder = engine_address(short_path)
        release = commands.start("release", folder, "--builder", builder, "--network", "none", "--format", "json")
        release.until(" now\n")
        kill(daemon)
        daemon.start()
        result = result_of(release.end())
    finally:
        daemon.stop()
    assert traces.tags(folder.name) == [result["version"]] == ["0.1.0"]
    traces.assert_nothing_left()


@pytest.mark.root
async def test_a_broken_record_in_the_cache_is_built_anew(
    commands: WarmStarter, traces: Traces, source: Make, short_path: Path
) -> None:
    """The snapshot that a new step is to be built upon is gone, and the daemon does not let its record be pruned: the
    release builds once without the cache."""
    folder = source(BASE + run_line("echo lost > /lost"))
    with private_engine(short_path) as address:
        on, builder = ("--builder", address, "--network", "none"), BuilderAddress.parse(address)
        assert commands.run("build", folder, *on, "--output", "type=cacheonly").code == 0
        async with BuildKit(builder) as buildkit:
            (lost,) = [record for record in await buildkit.disk_usage() if "echo lost" in record.description]
        remove_snapshot(builder.path, lost.id)
        dockerfile = folder / "Dockerfile"
        dockerfile.write_text(dockerfile.read_text() + run_line("echo more > /more"))
        ended = commands.run("release", folder, *on, "--format", "json")
    assert "its cache lost a step's result" in ended.stderr
    assert traces.tags(folder.name) == [result_of(ended)["version"]]
