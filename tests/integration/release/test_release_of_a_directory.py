"""A directory outside of git: versions from the registry's tags, the image as it was asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import InvalidOption, VersionTaken
from prefect_slipway.infra.domain.labels import OCI_CREATED, OCI_TITLE, OCI_VERSION
from prefect_slipway.infra.registry.client import RegistryClient
from tests.integration.release.conftest import Release, make_source
from tests.releases import Traces, complaint
from tests.warm import WarmStarter


async def test_the_first_release_is_0_1_0_and_the_next_0_2_0(
    run_release: Release, source: Path, registry: RegistryClient
) -> None:
    """Each release is pushed, tagged once and described by its result; the second builds from the cache."""
    first = await run_release(source=str(source))
    second = await run_release(source=str(source))
    assert (first.version, second.version) == ("0.1.0", "0.2.0")
    assert first.released and second.released
    assert second.reference == f"{second.image}:0.2.0@{second.digest}"
    assert (second.steps, second.cached_steps) == (2, 2)
    assert second.size > 500_000
    repository = second.image.partition("/")[2]
    assert sorted(await registry.tags(repository)) == ["0.1.0", "0.2.0"]
    held = await registry.head(repository, "0.2.0")
    assert held is not None and held.digest == second.digest


async def test_labels_and_annotations_say_what_it_is(
    run_release: Release, source: Path, registry: RegistryClient
) -> None:
    """Title, version and time of creation are labels of the image and annotations of its manifest."""
    result = await run_release(source=str(source), build={"labels": {"team": "blue"}})
    repository = result.image.partition("/")[2]
    (digest,) = result.platforms.values()
    manifest = await registry.manifest(repository, digest)
    config = await registry.image_config(repository, manifest)
    labels = config.labels
    for found in (labels, manifest.document["annotations"]):
        assert found[OCI_TITLE] == repository
        assert found[OCI_VERSION] == "0.1.0"
        assert found[OCI_CREATED].endswith("Z")
        assert found["team"] == "blue"


async def test_prereleases_form_a_series_and_move_no_tag(
    run_release: Release, source: Path, registry: RegistryClient
) -> None:
    """1.0.0, then 1.0.1-rc.1 and -rc.2, then the patch they lead to; `latest` stays with stable versions."""
    stable = await run_release(source=str(source), version={"exact": "1.0.0", "moving_tags": True})
    candidates = [
        await run_release(source=str(source), bump="prerelease", version={"moving_tags": True}) for _ in range(2)
    ]
    repository = stable.image.partition("/")[2]
    assert [c.version for c in candidates] == ["1.0.1-rc.1", "1.0.1-rc.2"]
    latest = await registry.head(repository, "latest")
    assert latest is not None and latest.digest == stable.digest
    final = await run_release(source=str(source), bump="patch", version={"moving_tags": True})
    assert final.version == "1.0.1"
    assert final.tags == ("1.0.1", "1", "1.0", "latest")
    assert {t: (await registry.head(repository, t)).digest for t in ("1", "1.0", "latest")} == dict.fromkeys(  # type: ignore[union-attr]
        ("1", "1.0", "latest"), final.digest
    )


async def test_moving_tags_never_move_backwards(run_release: Release, source: Path, registry: RegistryClient) -> None:
    """A fix for an old line gets its own line's tags, and leaves the newer one's alone."""
    newer = await run_release(source=str(source), version={"exact": "1.1.0", "moving_tags": True})
    older = await run_release(source=str(source), version={"exact": "1.0.1", "moving_tags": True})
    assert older.tags == ("1.0.1", "1.0")
    repository = newer.image.partition("/")[2]
    for tag in ("1", "1.1", "latest"):
        held = await registry.head(repository, tag)
        assert held is not None and held.digest == newer.digest


async def test_build_metadata_becomes_a_legal_tag(run_release: Release, source: Path) -> None:
    """`+` is not allowed in a tag; the label keeps the version as it is."""
    result = await run_release(source=str(source), version={"exact": "1.2.3+build.5"})
    assert result.version == "1.2.3+build.5"
    assert result.tags == ("1.2.3_build.5",)


async def test_reproducible_releases_have_the_same_digest(
    run_release: Release, source: Path, registry: RegistryClient
) -> None:
    """Same source and version, whenever and wherever it is built: the very same image for each platform. Only the index
    differs, by the provenance of each build."""
    host = registry.host
    first = await run_release(
        source=str(source), image=f"{host}/one/app", build={"reproducible": True, "no_cache": True}
    )
    for file in source.iterdir():
        file.touch()
    second = await run_release(
        source=str(source), image=f"{host}/two/app", build={"reproducible": True, "no_cache": True}
    )
    assert first.version == second.version
    assert first.platforms == second.platforms and first.platforms
    assert first.digest != second.digest
    third = await run_release(
        source=str(source), image=f"{host}/three/app", build={"reproducible": True, "provenance": "off"}
    )
    assert third.platforms == first.platforms
    assert [third.digest] == list(first.platforms.values())


async def test_a_reproducible_version_again_is_the_same_or_refused(
    run_release: Release, source: Path, registry: RegistryClient, traces: Traces
) -> None:
    """A directory's image carries no mark, so it is built again: the digest of its platform tells, as the index differs
    by its provenance. Another one is not overwritten, nor one that lacks an attestation."""
    request = {"source": str(source), "version": {"exact": "1.0.0"}, "build": {"reproducible": True}}
    first = await run_release(**request)
    (source / "message").touch()
    again = await run_release(**request)
    assert (again.released, again.digest, again.platforms) == (True, first.digest, first.platforms)
    bare = await run_release(
        **{**request, "version": {"exact": "1.1.0"}, "build": {"reproducible": True, "provenance": "off"}}
    )
    assert bare.platforms == dict.fromkeys(first.platforms, bare.digest)
    with pytest.raises(VersionTaken, match="exists with a different digest"):
        await run_release(**{**request, "version": {"exact": "1.1.0"}})
    (source / "message").write_text("another\n")
    with pytest.raises(VersionTaken, match="exists with a different digest"):
        await run_release(**request)
    assert (await registry.manifest(source.name, "1.0.0")).digest == first.digest
    traces.assert_nothing_left()


async def test_a_name_that_no_image_can_have_is_not_replaced(run_release: Release, tmp_path: Path) -> None:
    """Two such directories would share an image and its versions."""
    source = make_source(tmp_path / "日本語")
    with pytest.raises(InvalidOption, match="no image can be named after '日本語'"):
        await run_release(source=str(source))


async def test_auto_needs_commits(run_release: Release, source: Path) -> None:
    """Outside of git nothing says what changed: that is said, not guessed. The first version needs no reason."""
    assert (await run_release(source=str(source), bump="auto")).version == "0.1.0"
    with pytest.raises(InvalidOption, match="not in a git repository"):
        await run_release(source=str(source), bump="auto")


async def test_a_tag_prefix_needs_git(run_release: Release, source: Path) -> None:
    """A prefix names git tags; without git it cannot be meant."""
    with pytest.raises(InvalidOption, match="--tag-prefix needs a source"):
        await run_release(source=str(source), version={"tag_prefix": "app/v"})


def test_a_quiet_release_prints_its_reference_alone(commands: WarmStarter, source: Path, traces: Traces) -> None:
    """For scripts: nothing on standard error. A failure is told all the same."""
    ended = commands.run("release", source, "-q", "-t", f"{traces.connection.registry}/{source.name}/quiet")
    assert (ended.code, ended.stderr) == (0, "")
    assert re.fullmatch(
        rf"{traces.connection.registry}/{source.name}/quiet:0\.1\.0@sha256:[0-9a-f]{{64}}\n", ended.stdout
    )
    assert "no Absent in" in complaint(commands.run("release", source, "-q", "-f", "Absent"))
