"""A builder of several nodes: each platform is built where it is native, and the results are one image."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import OCI_INDEX
from tests.conftest import RunningStack
from tests.declaring import DeclaringRelay
from tests.releases import Traces, complaint, make_source, result_of
from tests.warm import Ended, WarmStarter

AMD64 = ("linux/amd64", "linux/amd64/v2", "linux/386")
QEMU = ("linux/amd64", "linux/arm64", "linux/386")
ARM64 = ("linux/arm64", "linux/arm/v7")
BOTH = ("--platform", "linux/amd64", "--platform", "linux/arm64")
# Nothing is run, as no other platform's programs run here; each platform's file differs.
DOCKERFILE = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /architecture\n"


class Node(Protocol):
    async def __call__(self, *platforms: str) -> DeclaringRelay: ...


@pytest.fixture
async def node(stack: RunningStack) -> AsyncIterator[Node]:
    """Add a node that lists these platforms: the stack's engine stands for it."""
    engine = BuilderAddress.parse(stack.connection.builder).path
    async with AsyncExitStack() as relays:

        async def add(*platforms: str) -> DeclaringRelay:
            return await relays.enter_async_context(DeclaringRelay(engine, *platforms))

        yield add


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A source of a reproducible image."""
    source = make_source(tmp_path / f"app-{abs(hash(tmp_path)) % 10**8}", DOCKERFILE)
    for architecture in ("amd64", "arm64", "s390x"):
        (source / architecture).write_text(f"for {architecture}\n")
    (source / "busybox").unlink()
    return source


def builder(*nodes: DeclaringRelay) -> tuple[str, ...]:
    return ("--builder", ",".join(node.address for node in nodes), "--reproducible", "--format", "json")


async def command(commands: WarmStarter, *arguments: str | Path) -> Ended:
    return await asyncio.to_thread(commands.run, *arguments)


async def index(registry: RegistryClient, result: dict[str, Any]) -> dict[str, Any]:
    repository = result["image"].partition("/")[2]
    manifest = await registry.manifest(repository, result["digest"])
    assert manifest.media_type == OCI_INDEX
    return dict(manifest.document)


def platforms(index: dict[str, Any]) -> list[str]:
    """Of its images; an attestation has none that is known."""
    found = [f"{each['platform']['os']}/{each['platform']['architecture']}" for each in index["manifests"]]
    return [platform for platform in found if platform != "unknown/unknown"]


async def test_each_platform_is_built_where_it_is_native(
    commands: WarmStarter, traces: Traces, registry: RegistryClient, stack: RunningStack, node: Node, app: Path
) -> None:
    """Although another node comes first and emulates it, and all at the same time; the one index has the digest that
    docker buildx's has, with annotations of each level; log, report and plan say who built what."""
    first, second = await node(*QEMU), await node(*ARM64)
    first.beside, second.beside = second, first
    annotations = ("index:org.example.level=index", "manifest[linux/arm64]:org.example.arm=64")
    options = [*BOTH, *builder(first, second), *(f"--annotation={each}" for each in annotations), "--provenance=off"]
    planned = await command(commands, "plan", app, *options)
    who = [f"linux/amd64 on {first.address}", f"linux/arm64 on {second.address}"]
    assert all(each in planned.stdout for each in who), planned.stdout + planned.stderr
    assert first.calls.count("Solve") == second.calls.count("Solve") == 0

    ended = await command(commands, "release", app, *options)
    result = result_of(ended)
    assert first.calls.count("Solve") == second.calls.count("Solve") == 1
    found = await index(registry, result)
    assert platforms(found) == ["linux/amd64", "linux/arm64"]
    assert found["annotations"] == {"org.example.level": "index"}
    assert "linux/arm64 #" in ended.stderr and "linux/amd64 #" in ended.stderr
    assert all(f"\n{each}\n" in ended.stderr for each in who), ended.stderr
    report = traces.report(result["flow_run_id"])
    for each in who:
        platform, _, address = each.partition(" on tcp:")
        # Markdown would make a link of it.
        assert re.search(rf"{platform} on tcp:\W+{address.removeprefix('//')}", report), report
    traces.assert_nothing_left()
    assert result["digest"] == await buildx(registry, result, app, stack, annotations)


async def buildx(
    registry: RegistryClient, result: dict[str, Any], app: Path, stack: RunningStack, annotations: tuple[str, ...]
) -> str:
    """The digest of what docker buildx makes of the same source, with the same labels and annotations."""
    repository = result["image"].partition("/")[2]
    manifest = await registry.manifest(repository, result["digest"])
    labels = (await registry.image_config(repository, manifest)).labels
    env = {**os.environ, "DOCKER_HOST": f"unix://{BuilderAddress.parse(stack.connection.builder).path}"}
    metadata = app.parent / "metadata.json"
    arguments = [
        *("docker", "buildx", "build", "--platform", "linux/amd64,linux/arm64", "--provenance=false"),
        *("--output", f"type=oci,dest={app.parent / 'image.tar'},rewrite-timestamp=true"),
        *("--metadata-file", str(metadata), "--build-arg", "SOURCE_DATE_EPOCH=0"),
        *(f"--label={name}={value}" for name, value in labels.items()),
        *(f"--annotation={name}={value}" for name, value in labels.items()),
        *(f"--annotation={each}" for each in annotations),
        str(app),
    ]
    env["BUILDX_CONFIG"] = str(app.parent / "buildx")
    done = await asyncio.to_thread(subprocess.run, arguments, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(json.loads(metadata.read_text())["containerimage.digest"])


async def test_attestations_are_those_of_their_images(
    commands: WarmStarter, registry: RegistryClient, node: Node, app: Path
) -> None:
    """An index of images and attestations: each of them names an image of the index, whoever built it."""
    first, second = await node(*AMD64), await node(*ARM64)
    found = await index(registry, result_of(await command(commands, "release", app, *BOTH, *builder(first, second))))
    assert platforms(found) == ["linux/amd64", "linux/arm64"]
    images, attestations = found["manifests"][:2], found["manifests"][2:]
    assert [each["annotations"] for each in attestations] == [
        {"vnd.docker.reference.digest": image["digest"], "vnd.docker.reference.type": "attestation-manifest"}
        for image in images
    ]


async def test_one_node_may_have_several_platforms(
    commands: WarmStarter, registry: RegistryClient, node: Node, app: Path
) -> None:
    """What a node runs besides its own is native as well, and one build makes both; nobody else builds."""
    (app / "386").write_text("for 386\n")
    first, second = await node(*AMD64), await node(*ARM64)
    options = ("--platform", "linux/386,linux/amd64", *builder(first, second))
    found = await index(registry, result_of(await command(commands, "release", app, *options)))
    assert platforms(found) == ["linux/386", "linux/amd64"]
    assert (first.calls.count("Solve"), second.calls.count("Solve")) == (1, 0)


async def test_a_platform_is_emulated_only_if_that_is_said(
    commands: WarmStarter, traces: Traces, registry: RegistryClient, node: Node, app: Path
) -> None:
    """Else the cause lists who has what, before anything is built. By one node or by several."""
    first, second = await node(*QEMU), await node("linux/riscv64")
    said = complaint(await command(commands, "release", app, *BOTH, *builder(first, second)))
    assert "no node of the builder runs linux/arm64 natively" in said
    assert f"{first.address} runs linux/amd64, linux/386; emulates linux/arm64" in said
    assert f"{second.address} runs linux/riscv64" in said
    assert "--emulate" in said
    traces.assert_failed(app.name, "linux/arm64 natively")
    alone = complaint(await command(commands, "release", app, *BOTH, *builder(first)))
    assert "the builder does not run linux/arm64 natively" in alone
    assert "Solve" not in first.calls + second.calls
    found = await index(
        registry, result_of(await command(commands, "release", app, *BOTH, *builder(first, second), "--emulate"))
    )
    assert platforms(found) == ["linux/amd64", "linux/arm64"]
    assert (first.calls.count("Solve"), second.calls.count("Solve")) == (1, 0)


async def test_a_node_that_is_lost_is_replaced(
    commands: WarmStarter, registry: RegistryClient, node: Node, app: Path
) -> None:
    """In the middle of the build: another one that has the platform builds it, and the image is the same."""
    first, lost, other = await node(*AMD64), await node(*ARM64), await node(*ARM64)
    lost.lost_at = "Solve"
    ended = await command(commands, "release", app, *BOTH, *builder(first, lost, other))
    assert platforms(await index(registry, result_of(ended))) == ["linux/amd64", "linux/arm64"]
    assert f"built elsewhere instead: linux/arm64 on {other.address}" in ended.stderr
    assert (first.calls.count("Solve"), other.calls.count("Solve")) == (1, 1)


async def test_a_node_that_nobody_can_replace_is_the_cause(
    commands: WarmStarter, traces: Traces, node: Node, app: Path
) -> None:
    """It is named with the platform, although the other platform is built; also if it was away from the beginning."""
    first, lost = await node(*AMD64), await node(*ARM64)
    lost.lost_at = "Solve"
    said = complaint(await command(commands, "release", app, *BOTH, *builder(first, lost)))
    assert lost.address in said and "linux/arm64" in said
    traces.assert_failed(app.name, "linux/arm64")
    said = complaint(await command(commands, "release", app, *BOTH, *builder(first, lost)))
    assert f"{lost.address} cannot be reached, and without it the builder does not run linux/arm64 natively" in said
    alone = ("--platform", "linux/amd64", *builder(first, lost))
    assert result_of(await command(commands, "release", app, *alone))["released"]


async def test_what_there_is_not_is_refused_at_once(commands: WarmStarter, traces: Traces, app: Path) -> None:
    """A platform that nobody ever heard of, and one of several addresses that holds a password."""
    said = complaint(await command(commands, "release", app, "--platform", "linux/arm65"), code=2)
    assert "there is no platform 'linux/arm65'" in said and "did you mean linux/arm64?" in said
    leaky = "tcp://a.example:1,tcp://user:pass,word@b.example:1"
    said = complaint(await command(commands, "release", app, "--builder", leaky), code=2)
    assert "word" not in said
    assert traces.runs(app.name) == []
