from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import RegistryProtocolError
from prefect_slipway.infra.registry.model import DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST, Manifest, digest_of


def test_the_digest_is_of_the_bytes_as_they_are() -> None:
    """Spaces count: the same document in other bytes is another manifest."""
    document = {"schemaVersion": 2, "layers": []}
    one = Manifest.parse(json.dumps(document).encode(), OCI_MANIFEST)
    other = Manifest.parse(json.dumps(document, indent=1).encode(), OCI_MANIFEST)
    assert one.digest == digest_of(one.raw) != other.digest
    assert one.descriptor.size == len(one.raw)


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_INDEX])
def test_an_index_is_known_by_its_own_media_type(media_type: str) -> None:
    """What the document says of itself counts more than the header."""
    raw = json.dumps({"mediaType": media_type, "manifests": []}).encode()
    assert Manifest.parse(raw, "application/octet-stream").is_index
    assert Manifest.parse(raw, OCI_MANIFEST).media_type == media_type


def test_a_platform_has_its_variant() -> None:
    """linux/arm64/v8, and linux/amd64 without one."""
    entries = [
        {"mediaType": OCI_MANIFEST, "digest": f"sha256:{'1' * 64}", "size": 1, "platform": platform}
        for platform in (
            {"os": "linux", "architecture": "arm64", "variant": "v8"},
            {"os": "linux", "architecture": "amd64"},
        )
    ]
    index = Manifest.parse(json.dumps({"manifests": entries}).encode(), OCI_INDEX)
    assert [child.platform for child in index.children] == ["linux/arm64/v8", "linux/amd64"]


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b"null", b'"text"'])
def test_what_is_no_object_is_no_manifest(raw: bytes) -> None:
    """Bytes that hold no JSON object are refused with a named cause."""
    with pytest.raises(RegistryProtocolError):
        Manifest.parse(raw, OCI_MANIFEST)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"config": _JSON, "layers": _JSON, "manifests": _JSON}))
def test_a_strange_manifest_is_a_protocol_error(document: dict[str, object]) -> None:
    """Whatever stands where descriptors should, it is read or refused with a named cause."""
    manifest = Manifest.parse(json.dumps(document).encode(), OCI_MANIFEST)
    try:
        assert isinstance(manifest.size, int)
        assert isinstance(manifest.children, tuple)
    except RegistryProtocolError:
        pass
