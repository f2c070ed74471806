"""What a run plans when it reserves its version, and when images of earlier runs are there; git and a registry are
real."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.planning.decide import plan_release
from prefect_slipway.flows.planning.source import known_host, look_into
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import open_run
from prefect_slipway.flows.run.reservation import ReservedVersion
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.infra.domain.errors import DockerfileMissing, InvalidOption, VersionTaken
from prefect_slipway.infra.domain.version import parse_version
from tests.git_repository import commit, git, make_repository
from tests.images import Pusher

RUN = "0199-run"


@asynccontextmanager
async def planned(
    folder: Path, claimant: str | None = RUN, earlier: str | None = None, **asked: Any
) -> AsyncIterator[tuple[ReleasePlan, ReservedVersion | None]]:
    """The plan of a run, with its reservation, which is there for as long as the context is."""
    request = ReleaseRequest.read({"builder": {"address": "tcp://127.0.0.1:9"}, **asked})
    env = {"SLIPWAY_HOME": str(folder / "home")}
    before = parse_version(earlier) if earlier is not None else None
    async with open_run(request, env) as run, await open_source(run) as checkout:
        source = look_into(run, checkout)
        plan, reserved = await plan_release(run, source, claimant=claimant, earlier=before)
        try:
            yield plan, reserved
        finally:
            if reserved is not None:
                await reserved.end()


async def version_of(folder: Path, **asked: Any) -> str | None:
    async with planned(folder, **asked) as (plan, _):
        return plan.version


def push(plan: ReleasePlan, *, tagged: bool = True) -> dict[str, str]:
    """Push what a plan would release; the digest of each image."""
    found = {}
    for image in plan.public:
        host, _, name = image.image.partition("/")
        with Pusher(host, name, None) as pusher:
            found[image.image] = str(pusher.image(*(image.tags if tagged else ()), labels=image.labels)["digest"])
    return found


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "work")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Two images, one of them based on the other, and a third that is only a base."""
    definition = {
        "group": {"default": {"targets": ["api", "web"]}},
        "target": {
            "common": {"dockerfile": "Dockerfile"},
            "api": {"contexts": {"common": "target:common"}},
            "web": {"contexts": {"api": "target:api"}},
        },
    }
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "docker-bake.json").write_text(json.dumps(definition))
    return folder


async def test_a_reserved_version_is_passed_over_until_it_is_given_back(
    registry: str, tmp_path: Path, work: Path
) -> None:
    """Two runs of different commits at once get different versions."""
    where: dict[str, Any] = {"source": str(work), "image": f"{registry}/reserved", "bump": "minor"}
    async with planned(tmp_path, **where) as (plan, reserved):
        assert plan.version == "0.1.0" and reserved is not None and str(reserved.version) == "0.1.0"
        commit(work, "fix: more", {"more": ""})
        assert await version_of(tmp_path, claimant="another", **where) == "0.2.0"
    assert await version_of(tmp_path, claimant="another", **where) == "0.1.0"


async def test_a_failed_plan_reserves_nothing(registry: str, tmp_path: Path, work: Path) -> None:
    """The version is free afterwards."""
    image = f"{registry}/failed-plan"
    with Pusher(registry, "failed-plan", None) as pusher:
        pusher.image("1.0.0")
    where: dict[str, Any] = {"source": str(work), "image": image}
    with pytest.raises(VersionTaken, match="a different release"):
        async with planned(tmp_path, version={"exact": "1.0.0"}, **where):
            pass
    assert git(work, "for-each-ref", "refs/slipway") == ""


async def test_versions_of_the_registry_alone_are_passed_over(registry: str, tmp_path: Path, work: Path) -> None:
    """A run may have died between its image's tag and its git tag, and the source has changed since."""
    with Pusher(registry, "only-there", None) as pusher:
        pusher.image("0.1.0")
    where: dict[str, Any] = {"source": str(work), "image": f"{registry}/only-there"}
    assert await version_of(tmp_path, **where) == "0.2.0"


async def test_the_same_release_again_is_recognized(registry: str, tmp_path: Path, work: Path) -> None:
    """By the label of its image; another source is refused, and without the label the digest decides."""
    image = f"{registry}/again"
    where: dict[str, Any] = {"source": str(work), "image": image, "version": {"exact": "1.0.0"}}
    async with planned(tmp_path, **where) as (plan, reserved):
        assert reserved is not None
        digests = push(plan)
        await reserved.note(digests)
        await reserved.publish()
    async with planned(tmp_path, **where) as (plan, _):
        assert plan.why == "exactly this release exists already"
        assert [one.existing_digest for one in plan.images] == [digests[image]]
        assert plan.to_build() == ()
    commit(work, "fix: more", {"more": ""})
    with pytest.raises(VersionTaken):
        await version_of(tmp_path, **where)


async def test_an_attempt_releases_what_the_one_before_it_released(registry: str, tmp_path: Path, work: Path) -> None:
    """A retried run does not release the next version."""
    image = f"{registry}/attempt"
    where: dict[str, Any] = {"source": str(work), "image": image}
    async with planned(tmp_path, **where) as (plan, reserved):
        assert reserved is not None
        await reserved.note(push(plan))
        await reserved.publish()
    async with planned(tmp_path, earlier="0.1.0", version={"again": True}, **where) as (plan, _):
        assert plan.version == "0.1.0" and plan.to_build() == ()
    assert await version_of(tmp_path, earlier="0.0.9", version={"again": True}, **where) == "0.2.0"


async def test_nothing_new_is_nothing_to_release(registry: str, tmp_path: Path) -> None:
    """Of a directory, the image tells; a change makes a version."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    where: dict[str, Any] = {"source": str(folder), "image": f"{registry}/nothing-new", "version": {"only_new": True}}
    async with planned(tmp_path, **where) as (plan, reserved):
        assert plan.version == "0.1.0" and reserved is not None and plan.git_tag is None
        push(plan)
    async with planned(tmp_path, **where) as (plan, _):
        assert plan.nothing_to_release and plan.why == "nothing new since 0.1.0" and plan.effects() == []
    (folder / "more").write_text("")
    assert await version_of(tmp_path, **where) == "0.2.0"


async def test_a_release_that_died_before_its_git_tag_is_finished(registry: str, tmp_path: Path, work: Path) -> None:
    """Its image is not built again."""
    where: dict[str, Any] = {"source": str(work), "image": f"{registry}/died"}
    async with planned(tmp_path, **where) as (plan, reserved):
        assert reserved is not None
        digests = push(plan, tagged=False)
        await reserved.note(digests)
        await reserved.leave()
    async with planned(tmp_path, claimant="another", **where) as (plan, reserved):
        assert plan.version == "0.1.0" and plan.to_build() == ()
        assert [one.existing_digest for one in plan.images] == list(digests.values())


async def test_a_reproducible_directory_has_no_label_of_its_times(registry: str, tmp_path: Path) -> None:
    """Its digest decides whether the version is the same."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    where: dict[str, Any] = {
        "source": str(folder),
        "image": f"{registry}/no-label",
        "version": {"exact": "1.0.0"},
        "build": {"reproducible": True},
    }
    async with planned(tmp_path, **where) as (plan, _):
        assert plan.source_date_epoch == 0
        assert not any("fingerprint" in label for label in plan.images[0].labels)
        push(plan)
    async with planned(tmp_path, **where) as (plan, _):
        assert plan.why.startswith("the version exists; it is built again") and plan.to_build() == plan.images


async def test_several_images_share_a_version(registry: str, tmp_path: Path, shop: Path) -> None:
    """Each after its bases; one that nobody asked for goes beside an image that is based on it."""
    where: dict[str, Any] = {
        "source": str(shop),
        "bake": {"repository": f"{registry}/shop"},
        "bump": "minor",
        "version": {"moving_tags": True},
    }
    async with planned(tmp_path, **where) as (plan, _):
        names = [image.target for image in plan.images]
        assert names.index("common") < names.index("api") < names.index("web")
        assert [image.target for image in plan.public] == ["api", "web"]
        assert {image.image for image in plan.images} == {f"{registry}/shop/api", f"{registry}/shop/web"}
        assert plan.version == "0.1.0" and plan.only is None
        push(plan)
    async with planned(tmp_path, **{**where, "version": {"exact": "0.1.0"}}) as (plan, _):
        assert plan.to_build() == () and plan.effects()
    (shop / "more").write_text("")
    assert await version_of(tmp_path, **where) == "0.2.0"


async def test_a_version_that_lacks_one_of_the_images_is_refused(registry: str, tmp_path: Path, shop: Path) -> None:
    """A set is whole or not there."""
    where: dict[str, Any] = {
        "source": str(shop),
        "bake": {"repository": f"{registry}/half"},
        "version": {"exact": "1.0.0"},
    }
    async with planned(tmp_path, claimant=None, **where) as (plan, _):
        pass
    one = plan.public[0]
    host, _, name = one.image.partition("/")
    with Pusher(host, name, None) as pusher:
        pusher.image("1.0.0", labels=one.labels)
    with pytest.raises(VersionTaken, match=f"{plan.public[1].image} is not part of it"):
        await version_of(tmp_path, **where)


async def test_two_targets_of_one_repository_are_refused(registry: str, tmp_path: Path, shop: Path) -> None:
    """A version is one image."""
    text = json.loads((shop / "docker-bake.json").read_text())
    for name in ("api", "web"):
        text["target"][name]["tags"] = [f"{registry}/same"]
    (shop / "docker-bake.json").write_text(json.dumps(text))
    with pytest.raises(InvalidOption, match="api and web are both for"):
        await version_of(tmp_path, source=str(shop), bake={})


async def test_a_source_says_what_is_wrong_with_it(registry: str, tmp_path: Path, work: Path) -> None:
    """No Dockerfile; a tag prefix without a repository; a directory below an unnamed prefix has the registry's tags."""
    image = f"{registry}/wrong"
    with pytest.raises(DockerfileMissing, match=r"there is no Dockerfile\.web in"):
        await version_of(tmp_path, source=str(work), image=image, file="Dockerfile.web")
    plain = tmp_path / "plain"
    plain.mkdir()
    shutil.copy(work / "Dockerfile", plain)
    with pytest.raises(InvalidOption, match="--tag-prefix needs a source in a git repository"):
        await version_of(tmp_path, source=str(plain), image=image, version={"tag_prefix": "v"})
    app = work / "app"
    app.mkdir()
    shutil.copy(work / "Dockerfile", app)
    commit(work, "feat: app", {"app/more": ""})
    async with planned(tmp_path, source=str(app), image=image, build_args={"A": "1"}) as (plan, _):
        assert plan.git_tag is None
    async with planned(tmp_path, source=str(app), image=image, version={"tag_prefix": "app/v"}) as (plan, _):
        assert plan.git_tag == "app/v0.1.0"
    asked = {"build": {"add_hosts": ["db:10.0.0.1", "db:10.0.0.2"], "ulimits": ["nofile=64"]}}
    assert await version_of(tmp_path, source=str(app), image=image, **asked) == "0.1.0"


async def test_the_registry_is_known_before_the_source_where_the_request_names_it(tmp_path: Path) -> None:
    """A bake file may be the only one that does."""
    env = {"SLIPWAY_HOME": str(tmp_path / "home")}
    for asked, host in (
        ({"image": "registry.example/team/app"}, "registry.example"),
        ({"bake": {"repository": "registry.example/shop"}}, "registry.example"),
        ({"bake": {}}, None),
    ):
        async with open_run(ReleaseRequest.read({"builder": {"address": "tcp://127.0.0.1:9"}, **asked}), env) as run:
            assert known_host(run) == host
