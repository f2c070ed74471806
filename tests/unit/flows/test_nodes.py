"""A builder of several nodes: how it is named, and who takes over when one is lost."""

from __future__ import annotations

import argparse
import re

import pytest

from prefect_slipway.blocks import Builder
from prefect_slipway.flows.cli.builder_address import chosen_builder
from prefect_slipway.flows.request.builder import BuilderChoice
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.endpoints import find_builders
from prefect_slipway.flows.run.parts import build_parts
from prefect_slipway.flows.values.builder import BuilderFacts
from prefect_slipway.infra.buildkit.address import TlsFiles
from prefect_slipway.infra.buildkit.build.outputs import annotations_without
from prefect_slipway.infra.domain.errors import (
    BuilderLost,
    BuilderUnreachable,
    InvalidOption,
    PlatformUnavailable,
    RegistryProtocolError,
    StepFailed,
)
from prefect_slipway.infra.domain.nodes import Node, Share, share_platforms

AMD64 = Node.of("amd", [["linux/amd64", "linux/386"]])
QEMU = Node.of("qemu", [["linux/amd64", "linux/arm64"]])
ARM64 = Node.of("arm", [["linux/arm64"]])
OTHER = Node.of("other", [["linux/arm64"]])
BOTH = ("linux/amd64", "linux/arm64")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("tcp://a.example:1234", True),
        ("tcp://a.example:1234,tcp://[fd00::1]:1234,unix:///run/b.sock,docker://", True),
        ("unix:///run/old.sock", True),
        ("block:farm", True),
        ("tcp://a:1,tcp://user:pass@b:1", False),
        ("tcp://a:1,tcp://user:123,45@b:1", False),
        ("tcp://a:1,tcp://b:1?token=x", False),
        ("tcp://a:1,", False),
        ("tcp://a:1,block:farm", False),
    ],
)
def test_nodes_are_addresses_without_secrets(text: str, good: bool) -> None:
    """In a request, in a saved block and in the form's schema alike; what is refused is not repeated."""
    schema = BuilderChoice.model_json_schema()["properties"]["address"]
    assert (re.search(schema["pattern"], text) is not None) == good
    if good:
        assert ReleaseRequest.read({"builder": {"address": text}}).builder.address == text
        assert Builder(address=text).request_fields()["builder"]["address"] == text
        return
    with pytest.raises(InvalidOption) as caught:
        ReleaseRequest.read({"builder": {"address": text}})
    assert text not in str(caught.value) and "pass" not in str(caught.value)


def test_tls_is_for_the_nodes_on_tcp() -> None:
    """A socket has none; one builder with both is refused as ever, and an address that comes twice."""
    tls = TlsFiles()
    found = find_builders("tcp://a:1,unix:///run/b.sock", tls, None)
    assert [(str(address), address.tls) for address, _ in found] == [("tcp://a:1", tls), ("unix:///run/b.sock", None)]
    for text in ("unix:///run/b.sock", "tcp://a:1,tcp://a:1"):
        with pytest.raises(InvalidOption):
            find_builders(text, tls, None)


def test_a_plain_build_takes_one_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several are refused, from the option as from the environment."""
    several = "tcp://a:1,tcp://b:1"
    for option, variable in ((several, ""), (None, several)):
        monkeypatch.setenv("BUILDKIT_HOST", variable)
        args = argparse.Namespace(builder=option, builder_ca=None, builder_cert=None, builder_key=None)
        with pytest.raises(InvalidOption, match="this command uses one builder"):
            chosen_builder(args, None)


def test_annotations_of_other_nodes_platforms_stay_away() -> None:
    """A daemon refuses those of a platform that it does not build."""
    annotations = {"a": "1", "index:b": "2", "manifest[linux/arm64]:c": "3", "manifest-descriptor[linux/amd64]:d": "4"}
    assert set(annotations_without(annotations, {"linux/arm64"})) == set(annotations) - {"manifest[linux/arm64]:c"}


class Farm:
    """Nodes that build, but for those that are lost or broken. `collisions`: how many pushes the registry refuses."""

    def __init__(self, *lost: str, broken: str = "", collisions: int = 0) -> None:
        self._lost = lost
        self._collisions = collisions
        self._broken = broken
        self.built: list[tuple[str, tuple[str, ...]]] = []

    async def build(self, share: Share) -> str:
        if share.node.name in self._lost:
            raise BuilderLost(f"builder {share.node.name} was lost")
        if share.node.name == self._broken:
            raise StepFailed("a step failed")
        if self._collisions:
            self._collisions -= 1
            raise RegistryProtocolError("HTTP 400 to PUT")
        self.built.append((share.node.name, share.platforms))
        return f"sha256:{share.node.name}"


async def built(
    farm: Farm, *nodes: Node, platforms: tuple[str, ...] = BOTH, emulate: bool = False
) -> list[tuple[str, tuple[str, ...]]]:
    shares = share_platforms(platforms, nodes, emulate=emulate)
    parts = await build_parts(shares, nodes, farm.build, emulate=emulate)
    return [(part.share.node.name, part.share.platforms) for part in parts]


async def test_another_node_takes_over() -> None:
    """A native one, one after the other; what was built already stays."""
    farm = Farm("arm")
    assert await built(farm, AMD64, ARM64, OTHER) == [("amd", ("linux/amd64",)), ("other", ("linux/arm64",))]
    assert len(farm.built) == 2


async def test_nobody_emulates_unasked() -> None:
    """The loss is the cause, with the platform; if emulation is allowed, a node that can emulates it."""
    with pytest.raises(BuilderLost, match="builder arm was lost; no other node builds linux/arm64") as caught:
        await built(Farm("arm"), QEMU, ARM64)
    assert caught.value.retryable
    assert ("qemu", ("linux/arm64",)) in await built(Farm("arm"), QEMU, ARM64, emulate=True)
    with pytest.raises(BuilderLost):
        await built(Farm("arm"), AMD64, ARM64, emulate=True)


async def test_all_that_can_are_tried() -> None:
    """Then the last loss is raised; the only node of a builder raises its own words."""
    with pytest.raises(BuilderLost, match="builder other was lost; no other node builds linux/arm64"):
        await built(Farm("arm", "other"), AMD64, ARM64, OTHER)
    with pytest.raises(BuilderLost, match=r"^builder arm was lost\n"):
        await built(Farm("arm"), ARM64, platforms=("linux/arm64",))


async def test_what_was_asked_for_no_platform_keeps_its_platform() -> None:
    """The first node's own, also elsewhere."""
    assert await built(Farm("arm"), ARM64, AMD64, OTHER, platforms=()) == [("other", ("linux/arm64",))]


async def test_nodes_that_push_the_same_layers_push_again() -> None:
    """Where a registry stumbles over that; a node that pushes alone does not, and nobody does it for ever."""
    assert len(await built(Farm(collisions=2), AMD64, ARM64)) == 2
    with pytest.raises(RegistryProtocolError):
        await built(Farm(collisions=1), AMD64, ARM64, platforms=("linux/amd64",))
    with pytest.raises(RegistryProtocolError):
        await built(Farm(collisions=9), AMD64, ARM64)


async def test_a_build_that_fails_is_not_built_elsewhere() -> None:
    """The Dockerfile's fault is the same everywhere."""
    farm = Farm(broken="arm")
    with pytest.raises(StepFailed):
        await built(farm, AMD64, ARM64, OTHER)
    assert ("other", ("linux/arm64",)) not in farm.built


def test_a_node_that_is_missing_is_the_cause_where_it_is_needed() -> None:
    """It may have had the platform; and what is for no certain platform is the first one's."""
    missing = BuilderFacts((AMD64,), ("arm",), "arm")
    assert missing.is_several
    assert missing.shares(["linux/amd64"], emulate=False) == (Share(AMD64, ("linux/amd64",)),)
    for wanted in ([], ["linux/arm64"]):
        with pytest.raises(BuilderUnreachable, match="arm cannot be reached"):
            missing.shares(wanted, emulate=False)
    with pytest.raises(PlatformUnavailable):
        BuilderFacts((AMD64,), (), "amd").shares(["linux/arm64"], emulate=False)
