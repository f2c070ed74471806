from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import SignatureMalformed, TrustError
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.signing.bundle import BUNDLE, Bundle, bundle_attachment
from prefect_slipway.infra.signing.dsse import Envelope, pae
from prefect_slipway.infra.signing.simple import SimplePayload, signature_attachment, signature_of
from prefect_slipway.infra.signing.statement import IN_TOTO, SIGNED, Statement, Subject
from tests.signers import LocalSigner

HEX = "ab" * 32
IMAGE = ImageReference("registry.example.com:5000", "team/app", digest=f"sha256:{HEX}")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def read_pae(signed: bytes) -> tuple[str, bytes]:
    """A reader written from dsse's protocol.md alone."""
    version, length, rest = signed.split(b" ", 2)
    assert version == b"DSSEv1"
    kind, rest = rest[: int(length)], rest[int(length) + 1 :]
    length, _, payload = rest.partition(b" ")
    assert len(payload) == int(length)
    return kind.decode(), payload


def test_the_specifications_example_of_pae() -> None:
    """protocol.md, "Test vectors"."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.text(), st.binary())
def test_pae_can_be_read_in_one_way_only(kind: str, payload: bytes) -> None:
    """Type and payload come back as they were, whatever spaces and digits are in them."""
    try:
        kind.encode()
    except UnicodeEncodeError:
        return
    assert read_pae(pae(kind, payload)) == (kind, payload)


@given(
    st.tuples(st.text("1 a", max_size=6), st.binary(max_size=6)),
    st.tuples(st.text("1 a", max_size=6), st.binary(max_size=6)),
)
def test_two_payloads_have_the_same_pae_only_if_they_are_the_same(
    one: tuple[str, bytes], other: tuple[str, bytes]
) -> None:
    """Nothing that was signed as one type can be taken for another."""
    assert (pae(*one) == pae(*other)) == (one == other)


def test_the_simple_payload_is_cosigns_byte_for_byte() -> None:
    """What cosign signs for the same image (SIGNATURE_SPEC.md, "Payload")."""
    assert (
        SimplePayload(IMAGE.name, f"sha256:{HEX}").encode()
        == (
            '{"critical":{"identity":{"docker-reference":"registry.example.com:5000/team/app"},'
            f'"image":{{"docker-manifest-digest":"sha256:{HEX}"}},"type":"cosign container image signature"}},'
            '"optional":null}'
        ).encode()
    )


@given(st.text(max_size=30), st.dictionaries(st.text(max_size=8), JSON, max_size=3))
def test_a_simple_payload_comes_back_as_it_was(repository: str, optional: dict[str, Any]) -> None:
    """With whatever claims."""
    payload = SimplePayload(repository, f"sha256:{HEX}", optional)
    assert SimplePayload.parse(payload.encode()) == payload


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_a_statement_comes_back_as_it_was(predicate: dict[str, Any]) -> None:
    """With whatever predicate; and the same values are the same bytes, in whatever order they came."""
    statement = Statement.about(IMAGE, "https://example.com/p", predicate)
    raw = statement.encode()
    assert Statement.parse(raw) == statement
    assert Statement.about(IMAGE, "https://example.com/p", dict(reversed(predicate.items()))).encode() == raw


def test_a_statement_is_about_digest_and_repository() -> None:
    """As the specification has it (statement.md); a signature alone states nothing else."""
    assert json.loads(Statement.signature_of(IMAGE).encode()) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "registry.example.com:5000/team/app", "digest": {"sha256": HEX}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }


def test_statements_of_older_tools_are_read() -> None:
    """cosign 2.x writes v0.1, and leaves names out at times."""
    raw = Statement("t", {}, (Subject(None, {"sha256": HEX, "sha1": "x"}),)).encode()
    older = raw.replace(b"Statement/v1", b"Statement/v0.1")
    assert Statement.parse(older).subjects == (Subject(None, {"sha256": HEX, "sha1": "x"}),)


def test_a_predicate_that_json_cannot_hold_is_refused() -> None:
    """Before it's signed."""
    with pytest.raises(ValueError, match="JSON"):
        Statement.about(IMAGE, "t", {"x": float("nan")}).encode()


def test_a_bundle_is_what_sigstore_specifies() -> None:
    """sigstore_bundle.proto as JSON; listed by predicate; bytes that depend on nothing else."""
    key = LocalSigner().key
    envelope = Envelope(IN_TOTO, b"{}", (b"signature",))
    attachment = bundle_attachment(envelope, key, SIGNED, created="2026-01-02T03:04:05Z")
    assert attachment == bundle_attachment(envelope, key, SIGNED, created="2026-01-02T03:04:05Z")
    assert attachment.media_type == BUNDLE
    assert attachment.annotations == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": SIGNED,
        "org.opencontainers.image.created": "2026-01-02T03:04:05Z",
    }
    assert json.loads(attachment.content) == {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": key.hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": "e30=",
            "payloadType": IN_TOTO,
            "signatures": [{"sig": base64.b64encode(b"signature").decode(), "keyid": ""}],
        },
    }


@given(st.text(max_size=20), st.binary(max_size=50), st.binary(min_size=1, max_size=20))
def test_a_bundle_comes_back_as_it_was(kind: str, payload: bytes, signature: bytes) -> None:
    """Envelope and hint."""
    bundle = Bundle(Envelope(kind, payload, (signature,)), "hint")
    assert Bundle.parse(bundle.encode()) == bundle


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("+", "-").replace("/", "_"), lambda text: text.rstrip("=")]
)
def test_both_alphabets_of_base64_are_read(change: Callable[[str], str]) -> None:
    """ "Either standard or URL-safe" (envelope.md), padded or not."""
    payload = bytes(range(256)) + b"\xff"
    document = Envelope(IN_TOTO, payload, (b"\xfb\xff",)).document
    document["payload"] = change(document["payload"])
    document["signatures"][0]["sig"] = change(document["signatures"][0]["sig"])
    assert Envelope.read(document) == Envelope(IN_TOTO, payload, (b"\xfb\xff",))


@given(st.binary(min_size=1, max_size=600))
def test_a_signature_comes_back_from_its_annotation(signature: bytes) -> None:
    assert signature_of(signature_attachment(b"payload", signature).annotations) == signature


@given(st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_read_or_refused_by_name(raw: bytes) -> None:
    """No bytes raise anything but a named cause."""
    for read in (SimplePayload.parse, Statement.parse, Bundle.parse):
        with pytest.raises(TrustError):
            read(raw)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("payload", 7),
        ("payload", None),
        ("payloadType", []),
        ("signatures", {}),
        ("signatures", []),
        ("signatures", [7]),
    ],
)
def test_an_envelope_of_another_shape_is_refused(member: str, value: Any) -> None:
    document = {**Envelope(IN_TOTO, b"", (b"s",)).document, member: value}
    with pytest.raises(SignatureMalformed):
        Envelope.read(document)
