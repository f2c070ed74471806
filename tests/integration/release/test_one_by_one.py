"""The steps of a release in a flow of one's own, and a release that is only pretended."""

from pathlib import Path

import pytest
from prefect import flow

from prefect_slipway.flows.release import release
from prefect_slipway.flows.request.bake import Bake
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.tasks import build_image, builder, next_version, tag_image
from prefect_slipway.flows.testing import fake_release
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import BuiltImage, ReleaseResult
from prefect_slipway.infra.domain.errors import InvalidOption, RegistryUnavailable, VersionTaken
from prefect_slipway.infra.domain.labels import OCI_VERSION
from prefect_slipway.infra.registry.client import RegistryClient
from tests.integration.release.conftest import Release
from tests.releases import Traces


@flow
async def by_hand(source: str) -> tuple[ReleasePlan, BuiltImage, list[str]]:
    plan = await next_version(source)
    assert plan.version is not None
    async with builder() as on:
        built = await build_image(source, on=on, version={"exact": plan.version})
    tags = await tag_image(f"{built.planned.image}@{built.digest}", [plan.version, "edge"])
    return plan, built, tags


@flow
async def delivery(source: str) -> ReleaseResult:
    return await release(ReleaseRequest(source=source, image="registry.example.com/team/app"))


@pytest.mark.usefixtures("run_release")
async def test_the_steps_serve_one_by_one(repository: Path, registry: RegistryClient, traces: Traces) -> None:
    """Without a release around them: each opens what it needs, and leaves what it was asked for alone."""
    plan, built, tags = await by_hand(str(repository))
    name = repository.name
    assert (plan.version, plan.why) == ("0.1.0", "the first version")
    assert sorted(await registry.tags(name)) == ["0.1.0", "edge"]
    assert [tag.rpartition("/")[2] for tag in tags] == [f"{name}:0.1.0", f"{name}:edge"]
    manifest = await registry.manifest(name, "0.1.0")
    assert manifest.digest == built.digest
    assert (await registry.image_config(name, manifest)).labels[OCI_VERSION] == "0.1.0"
    traces.assert_nothing_left()


@flow
async def two_images(source: str) -> tuple[BuiltImage, BuiltImage]:
    return await build_image(source), await build_image(source, build={"labels": {"other": "1"}})


@pytest.mark.usefixtures("run_release")
async def test_a_tag_moves_only_where_that_is_asked_for(repository: Path, registry: RegistryClient) -> None:
    """A version is not overwritten by a step of one's own either."""
    first, second = await two_images(str(repository))
    image = first.planned.image
    await tag_image.fn(f"{image}@{first.digest}", ["1.0.0"])
    with pytest.raises(VersionTaken, match=r"1\.0\.0 exists with a different digest"):
        await tag_image.fn(f"{image}@{second.digest}", ["1.0.0"])
    await tag_image.fn(f"{image}@{second.digest}", ["1.0.0"], move=True)
    assert (await registry.manifest(repository.name, "1.0.0")).digest == second.digest
    with pytest.raises(InvalidOption, match="has no digest"):
        await tag_image.fn(f"{image}:1.0.0", ["2.0.0"])
    with pytest.raises(InvalidOption, match="need a release"):
        await build_image.fn(str(repository), bake=Bake())


async def test_a_fake_release_releases_nothing(
    run_release: Release, repository: Path, registry: RegistryClient
) -> None:
    """A flow of one's own is tested with a real result, and with the cause of a failure."""
    with fake_release("2.1.0") as asked:
        result = await delivery(str(repository))
    assert (result.version, result.released, result.image) == ("2.1.0", True, "registry.example.com/team/app")
    assert result.reference == f"registry.example.com/team/app:2.1.0@{result.digest}"
    assert [request.source for request in asked] == [str(repository)]
    with fake_release(error=RegistryUnavailable("the registry is away")), pytest.raises(RegistryUnavailable):
        await delivery(str(repository))
    assert await registry.tags(repository.name) == []
    assert (await run_release(source=str(repository))).version == "0.1.0"
