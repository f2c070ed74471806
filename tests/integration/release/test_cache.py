"""A release imports a registry cache before it builds, and exports one when it is public."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.client import BuildKit
from tests import patient
from tests.git_repository import commit, git, make_bare
from tests.releases import BASE, Traces, make_source, registry_login, result_of, run_line
from tests.warm import WarmStarter

ON = ("--cache", "on", "--format", "json")


def forget(traces: Traces) -> None:
    """Empty the builder's own cache: from now on it is like one that has just been made."""

    async def prune() -> None:
        async with BuildKit(BuilderAddress.parse(traces.connection.builder)) as builder:
            async for _ in builder.prune(everything=True):
                """Until it is done."""

    asyncio.run(prune())


def two_stages(name: str) -> str:
    """A Dockerfile with three steps; what the first stage makes is not in the image."""
    return (
        BASE.replace("scratch", "scratch AS maker")
        + run_line(f"echo {name} > /made")
        + "FROM scratch\nCOPY --from=maker /made /made\n"
    )


def manifest(traces: Traces, image: str, tag: str) -> dict[str, Any]:
    host, _, name = image.partition("/")
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"}
    answer = patient.get(
        f"http://{host}/v2/{name}/manifests/{tag}", auth=registry_login(traces.connection), headers=accept
    )
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def test_a_new_builder_takes_every_step_from_the_cache(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """The first release exports the cache when it is public and recorded, the next one on an empty builder runs no
    step. Report and result say so, and versions take no notice of the cache's tag."""
    source = make_source(tmp_path / "app-cached", two_stages("app-cached"))
    forget(traces)
    first = commands.run("release", source, *ON)
    result = result_of(first)
    (cache,) = result["caches"]
    assert (cache["imported"], cache["exported"]) == ([], f"{result['image']}:buildcache")
    assert cache["seconds"] > 0 and result["warnings"] == []
    assert traces.tags(source.name) == ["0.1.0", "buildcache"]
    said = first.stderr
    assert said.index("> tag") < said.index("> record") < said.index("> export cache") < said.index("> clean up")
    assert "ERROR" not in said
    exported = manifest(traces, result["image"], "buildcache")
    assert exported["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert sum(layer["size"] for layer in [exported["config"], *exported["layers"]]) == cache["size"]
    # What the image has pushed is used as it is, and the rest is compressed better.
    kinds = {layer["digest"]: layer["mediaType"].rpartition("+")[2] for layer in exported["layers"]}
    pushed = {layer["digest"] for layer in manifest(traces, result["image"], *result["platforms"].values())["layers"]}
    assert {kinds[digest] for digest in pushed} == {"gzip"}
    assert {kind for digest, kind in kinds.items() if digest not in pushed} == {"zstd"}

    forget(traces)
    again = result_of(commands.run("release", source, *ON, "--again", "--moving-tags"))
    assert again["version"] == "0.2.0"
    assert again["cached_steps"] == again["steps"] > 0
    assert again["caches"][0]["imported"] == [f"{result['image']}:buildcache"]
    assert traces.tags(source.name) == ["0.1.0", "0.2", "0.2.0", "buildcache", "latest"]
    report = traces.reports(source.name)[0]
    assert "imported from" in report and "exported to" in report


def test_without_the_option_there_is_none(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """A builder that stays has its own cache; neither is there one with `--cache off`, nor if nothing is released."""
    source = make_source(tmp_path / "app-uncached")
    for mode in ((), ("--cache", "off")):
        released = commands.run("release", source, "--format", "json", "--again", *mode)
        assert result_of(released)["caches"] == [] and "export cache" not in released.stderr
    unchanged = commands.run("release", source, *ON, "--only-new")
    assert not result_of(unchanged)["released"]
    finished = commands.run("release", source, *ON, "--version", "0.2.0")
    assert result_of(finished)["reason"] == "exactly this release exists already"
    assert traces.tags(source.name) == ["0.1.0", "0.2.0"]


def test_a_branch_falls_back_to_the_default_branch(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """It imports the default branch's cache until it has its own, and exports to its own only."""
    source = make_source(tmp_path / "app-branches", BASE + run_line("echo app-branches > /made"))
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: begin", {})
    git(source, "switch", "--quiet", "--create", "topic")
    commit(source, "feat: more", {"Dockerfile": (source / "Dockerfile").read_text() + "COPY Dockerfile /\n"})
    url = f"file://{make_bare(tmp_path / 'bare', source)}"
    git(tmp_path / "bare", "symbolic-ref", "HEAD", "refs/heads/main")
    image = f"{traces.connection.registry}/{source.name}"
    options = ("release", url, "--image", image, *ON)

    first = result_of(commands.run(*options))
    assert first["caches"][0]["exported"] == f"{image}:buildcache"
    before = manifest(traces, image, "buildcache")
    forget(traces)
    second = result_of(commands.run(*options, "--ref", "topic"))
    assert second["caches"][0]["imported"] == [f"{image}:buildcache"]
    assert second["caches"][0]["exported"] == f"{image}:buildcache-topic"
    assert second["steps"] - second["cached_steps"] == 1
    forget(traces)
    third = result_of(commands.run(*options, "--ref", "topic", "--again"))
    assert third["caches"][0]["imported"] == [f"{image}:buildcache-topic", f"{image}:buildcache"]
    assert third["steps"] == third["cached_steps"] > 0
    assert manifest(traces, image, "buildcache") == before


def test_each_image_of_a_set_has_its_own(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """In its repository; a base that has none, and all images in a repository for caches, by the target's name."""
    source = make_source(tmp_path / "cached-set", two_stages("cached-set"))
    (source / "heir").write_text("FROM base\nCOPY heir /\n")
    heir = {"dockerfile": "heir", "contexts": {"base": "target:base"}}
    (source / "docker-bake.json").write_text(json.dumps({"target": {"base": {}, "web": heir}}))
    place = f"{traces.connection.registry}/cached-set"
    options = ("bake", "web", "--source", source, "--repository", place, *ON)
    released = commands.run(*options)
    exported = {cache["target"]: cache["exported"] for cache in result_of(released)["caches"]}
    assert exported == {"base": f"{place}/web:buildcache.base", "web": f"{place}/web:buildcache"}
    assert traces.tags("cached-set/web") == ["0.1.0", "buildcache", "buildcache.base"]

    plan = commands.run(*options[:-2], "--plan", "--cache-repository", f"{place}/caches", "--again")
    assert f"export the build cache to {place}/caches:buildcache.base, {place}/caches:buildcache.web" in plan.stdout
