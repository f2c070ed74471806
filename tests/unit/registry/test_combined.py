"""What several daemons pushed as one index."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import RegistryProtocolError
from prefect_slipway.infra.registry.combined import combined_index
from prefect_slipway.infra.registry.model import DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST, Manifest, digest_of

Entry = dict[str, Any]


def image(architecture: str, variant: str = "", **more: Any) -> Entry:
    platform = {"architecture": architecture, "os": "linux", **({"variant": variant} if variant else {})}
    return {"mediaType": OCI_MANIFEST, "digest": digest_of(str(platform).encode()), "size": 7, **more} | {
        "platform": platform
    }


def attestation(of: Entry) -> Entry:
    return {
        "mediaType": OCI_MANIFEST,
        "digest": digest_of(f"about {of['digest']}".encode()),
        "size": 9,
        "annotations": {
            "vnd.docker.reference.digest": of["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }


def index(*entries: Entry, kind: str = OCI_INDEX, **more: Any) -> Manifest:
    """As BuildKit writes it: Go's json.MarshalIndent."""
    document = {"schemaVersion": 2, "mediaType": kind, "manifests": entries, **more}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Manifest.parse(text.encode(), kind)


def test_it_has_the_bytes_that_one_daemon_would_have_written() -> None:
    """Images in the order of the request, then their attestations; annotations and descriptors as they are."""
    amd64, arm64, arm = image("amd64"), image("arm64", annotations={"on": "descriptor"}), image("arm", "v7")
    more: dict[str, Any] = {"annotations": {"a": "<ü> & co", "b": "2"}}
    whole = index(amd64, arm64, arm, *map(attestation, (amd64, arm64, arm)), **more)
    parts = [
        index(arm64, arm, attestation(arm64), attestation(arm), **more),
        index(amd64, attestation(amd64), **more),
    ]
    combined = combined_index(parts, ["linux/amd64", "linux/arm64", "linux/arm/v7"])
    assert combined.raw == whole.raw
    assert combined.digest == whole.digest


def test_docker_media_types_stay() -> None:
    """Where all parts have them; one part of OCI makes an OCI index, which may hold both."""
    amd64, arm64 = image("amd64"), image("arm64")
    wanted = ["linux/amd64", "linux/arm64"]
    old = [index(amd64, kind=DOCKER_INDEX), index(arm64, kind=DOCKER_INDEX)]
    assert combined_index(old, wanted).media_type == DOCKER_INDEX
    assert combined_index([old[0], index(arm64)], wanted).media_type == OCI_INDEX


AMD64, ARM64 = image("amd64"), image("arm64")


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ([index(AMD64)], "instead of linux/amd64, linux/arm64"),
        ([index(AMD64, ARM64, image("s390x"))], "pushed linux/amd64, linux/arm64, linux/s390x instead of"),
        ([index(AMD64, ARM64), index(image("arm64", annotations={"other": "one"}))], "two nodes"),
        ([index(AMD64, ARM64, attestation(image("s390x")))], "attestations of sha256:"),
        ([index(AMD64), Manifest.parse(b"{}", OCI_MANIFEST)], "is not an index"),
    ],
)
def test_what_was_not_asked_for_gets_no_index(parts: list[Manifest], cause: str) -> None:
    """A platform that is missing, one too many, two of one, an attestation of something else, no index at all."""
    with pytest.raises(RegistryProtocolError, match=cause):
        combined_index(parts, ["linux/amd64", "linux/arm64"])


_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON, _JSON, _JSON)
def test_a_strange_index_is_a_protocol_error(manifests: Any, annotations: Any, inner: Any) -> None:
    """Whatever a registry returns, it is read or refused with a named cause."""
    odd = {**AMD64, "annotations": inner, "platform": {"os": inner, "architecture": "amd64"}}
    for entries in (manifests, [odd], [odd, manifests]):
        document = {"manifests": entries, "annotations": annotations}
        part = Manifest.parse(json.dumps(document).encode(), OCI_INDEX)
        try:
            combined_index([part, index(ARM64)], ["linux/amd64", "linux/arm64"])
        except RegistryProtocolError:
            continue
