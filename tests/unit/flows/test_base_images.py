"""Which part of what a registry holds makes a base image another one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from prefect_slipway.flows.base_images.released import _configs, _platforms
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import OCI_INDEX, Manifest
from tests.images import Pusher
from tests.servers import registry_server


def index(**digests: str) -> Manifest:
    """An index with an image for each architecture, and an attestation."""
    entries: list[dict[str, Any]] = []
    for architecture, digest in digests.items():
        platform = {"os": "linux", "architecture": architecture}
        if architecture == "arm64":
            platform["variant"] = "v8"
        if architecture == "unknown":
            platform["os"] = "unknown"
        entries.append({"mediaType": "x", "digest": digest, "size": 1, "platform": platform})
    return Manifest.parse(json.dumps({"mediaType": OCI_INDEX, "manifests": entries}).encode(), OCI_INDEX)


def test_only_the_released_platforms_count() -> None:
    """An index moves when any of its images does; for other platforms that is no news, nor is an attestation."""
    first = index(amd64="sha256:a", s390x="sha256:s", unknown="sha256:u")
    other = index(amd64="sha256:a", s390x="sha256:t", unknown="sha256:v")
    assert first.digest != other.digest
    assert _platforms(first, {"linux/amd64"}) == _platforms(other, {"linux/amd64"}) == {"linux/amd64": "sha256:a"}
    assert _platforms(first, {"linux/s390x"}) != _platforms(other, {"linux/s390x"})


def test_arm64_means_its_eighth_version() -> None:
    """Registries say it either way."""
    assert _platforms(index(arm64="sha256:a"), {"linux/arm64"}) == {"linux/arm64": "sha256:a"}


def test_a_base_for_other_platforms_alone_counts_whole() -> None:
    """A build stage may run on the builder's own platform."""
    assert set(_platforms(index(amd64="sha256:a", s390x="sha256:s"), {"linux/arm64"})) == {
        "linux/amd64",
        "linux/s390x",
    }


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as host:
        yield host


async def test_each_platform_has_its_own_layers(registry: str) -> None:
    """The configurations are those of the index's images, an image without an index is its configuration's."""
    with Pusher(registry, "base", None) as pusher:
        one, two = pusher.image(labels={"of": "one"}), pusher.image("single", labels={"of": "two"})
        pusher.index("many", children=[(one, "linux/amd64"), (two, "linux/arm64"), (two, "unknown/unknown")])
    async with RegistryClient(registry, Anonymous(), insecure=True, ca_file=None) as client:
        many = await _configs(client, "base", await client.manifest("base", "many"), None)
        single = await _configs(client, "base", await client.manifest("base", "single"), {"linux/s390x"})
    assert {platform: config.labels["of"] for platform, config in many.items()} == {
        "linux/amd64": "one",
        "linux/arm64": "two",
    }
    assert set(single) == {"linux/amd64"}
