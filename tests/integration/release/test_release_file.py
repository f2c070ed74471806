"""A release as its source's slipway.toml has it, and only as far as whoever runs it allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import ReleaseFileInvalid, ReleaseFileRefused
from prefect_slipway.infra.registry.client import RegistryClient
from tests.conftest import RunningStack
from tests.integration.release.conftest import Release, commit, git
from tests.releases import Traces, complaint, make_source, result_of
from tests.warm import WarmStarter


def test_in_a_checkout_a_release_needs_no_option(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """Once the person has read what the file chooses outside the source."""
    source = make_source(tmp_path / "app-filed")
    image = f"{traces.connection.registry}/filed/app"
    (source / "slipway.toml").write_text(f'image = "{image}"\n[version]\nexact = "3.0.0"\n')
    said = complaint(commands.run("release", source), code=2)
    assert "`image`" in said and "slipway config --trust" in said
    assert traces.runs("app 3.0.0") == []
    shown = commands.run("config", source, "--trust")
    assert shown.code == 0 and "slipway.toml, line 1" in shown.stdout and "image: allowed" in shown.stdout
    result = result_of(commands.run("release", source, "--format", "json"))
    assert result["reference"].startswith(f"{image}:3.0.0@")
    # Recorded is what was in force.
    assert traces.runs("app 3.0.0")[0]["parameters"]["request"]["image"] == image
    plan = commands.run("plan", source, "--version", "3.1.0")
    assert plan.code == 0 and "3.1.0" in plan.stdout
    (source / "slipway.toml").write_text(f'image = "{image}2"\n')
    assert "`image`" in complaint(commands.run("release", source), code=2)


async def test_the_file_of_a_fetched_source_counts_at_its_ref(
    run_release: Release, repository: Path, registry: RegistryClient, stack: RunningStack
) -> None:
    """A branch's file may say how to build; where the image goes only as it was allowed. Nothing is left of what was
    refused."""
    commit(
        repository, "feat: file", **{"slipway.toml": '[version]\nprerelease = true\n[build]\nlabels = { a = "1" }\n'}
    )
    git(repository, "branch", "next")
    image = f"{stack.connection.registry}/moved/{repository.name}"
    commit(repository, "feat: elsewhere", **{"slipway.toml": f'image = "{image}"\n'})
    url = repository.as_uri()

    first = await run_release(source=url, checkout={"ref": "next"})
    assert first.version is not None and first.version.endswith("-rc.1")
    assert first.image.endswith(f"/{repository.name}") and "moved" not in first.image
    manifest = await registry.manifest(first.image.partition("/")[2], first.tags[0])
    assert (await registry.image_config(first.image.partition("/")[2], manifest)).labels["a"] == "1"

    with pytest.raises(ReleaseFileRefused, match=r"slipway\.toml, line 1: .*`image`"):
        await run_release(source=url)
    with pytest.raises(ReleaseFileRefused):
        await run_release(source=url, config={"allow": ["image=registry.example/*"]})
    assert git(repository, "for-each-ref", "refs/slipway") == ""
    ignored = await run_release(source=url, config={"file": "-"})
    assert ignored.image == first.image
    moved = await run_release(source=url, config={"allow": ["image=*/moved/*"]}, version={"again": True})
    assert moved.image == image and moved.released


async def test_a_deployment_of_a_directory_reads_its_file(run_release: Release, source: Path) -> None:
    """Without what a person on that machine has allowed."""
    (source / "slipway.toml").write_text('bumb = "auto"\n')
    with pytest.raises(ReleaseFileInvalid, match="did you mean bump"):
        await run_release(source=str(source))
    (source / "slipway.toml").write_text('[version]\nexact = "5.0.0"\n')
    assert (await run_release(source=str(source))).version == "5.0.0"
