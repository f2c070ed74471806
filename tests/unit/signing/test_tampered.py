"""The table of tampered signatures and attestations: each is refused, by the name of what is wrong with it.

What a registry can do beyond changing bytes (listing another image's signature, cutting an answer) is in
tests/contract/signing/test_hostile_registry.py.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512

from prefect_slipway.infra.domain.errors import (
    OtherImageSigned,
    OtherPayloadType,
    OtherPredicateType,
    OtherRepositorySigned,
    SignatureInvalid,
    SignatureMalformed,
    TrustError,
    UntrustedKey,
)
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.signing.bundle import MAX_BUNDLE_BYTES, Bundle
from prefect_slipway.infra.signing.dsse import Envelope, pae
from prefect_slipway.infra.signing.keys import TrustedKeys
from prefect_slipway.infra.signing.simple import SIGNATURE_ANNOTATION, SimplePayload, signature_attachment
from prefect_slipway.infra.signing.statement import IN_TOTO, PROVENANCE, SPDX, Statement
from prefect_slipway.infra.signing.verification import (
    Attestation,
    Signature,
    verify_bundle,
    verify_envelope,
    verify_signature,
)
from tests.signers import LocalSigner

IMAGE = ImageReference("registry.example.com", "team/app", digest="sha256:" + "ab" * 32)
OTHER = IMAGE.with_digest("sha256:" + "cd" * 32)
PREDICATE = {"buildDefinition": {"buildType": "x"}}

RELEASE, STRANGER = LocalSigner(), LocalSigner()
RSA = LocalSigner("rsa-2048")
OLD_VERSION = LocalSigner()
# OLD_VERSION is the key's version 1, which was revoked: Vault does not name it any more.
TRUSTED = TrustedKeys([replace(RELEASE.key, version=2), RSA.key])


# --- the older format -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """A signed payload as a registry holds it."""

    payload: bytes
    annotations: Mapping[str, str]


def layer(payload: bytes, signer: LocalSigner = RELEASE) -> Layer:
    attachment = signature_attachment(payload, signer.sign_now(payload))
    return Layer(attachment.content, attachment.annotations)


def simple(image: ImageReference = IMAGE, signer: LocalSigner = RELEASE) -> Layer:
    return layer(SimplePayload(image.name, str(image.digest)).encode(), signer)


def document(**critical: Any) -> Layer:
    """Signed by the right key, with other values in it; None leaves a value out."""
    usual = json.loads(simple().payload)["critical"]
    values = {key: value for key, value in {**usual, **critical}.items() if value is not None}
    return layer(json.dumps({"critical": values, "optional": None}).encode())


def annotated(text: str) -> Layer:
    return replace(simple(), annotations={SIGNATURE_ANNOTATION: text})


GOOD = simple()
GOOD_SIGNATURE = GOOD.annotations[SIGNATURE_ANNOTATION]

LAYERS: dict[str, tuple[Layer, type[TrustError]]] = {
    "a signature of another image": (simple(OTHER), OtherImageSigned),
    "in another repository": (simple(replace(IMAGE, repository="team/other")), OtherRepositorySigned),
    "in a repository below": (simple(replace(IMAGE, repository="team/app/x")), OtherRepositorySigned),
    "in another registry": (simple(replace(IMAGE, registry="evil.example.com")), OtherRepositorySigned),
    "under a name that is none": (document(identity={"docker-reference": "../Team/App"}), OtherRepositorySigned),
    "under no name": (document(identity={"docker-reference": ""}), OtherRepositorySigned),
    "by another key": (simple(signer=STRANGER), UntrustedKey),
    "by a revoked version of the key": (simple(signer=OLD_VERSION), UntrustedKey),
    "another digest put into a signed payload": (
        replace(GOOD, payload=simple(OTHER).payload),
        UntrustedKey,
    ),
    "a replayed signature at another payload": (replace(simple(OTHER), payload=GOOD.payload), UntrustedKey),
    "a signature over the payload's digest": (
        replace(GOOD, annotations=layer(base64.b16decode("AB" * 32)).annotations),
        UntrustedKey,
    ),
    "a cut payload": (replace(GOOD, payload=GOOD.payload[:-1]), UntrustedKey),
    "an empty payload": (replace(GOOD, payload=b""), UntrustedKey),
    "a longer payload": (replace(GOOD, payload=GOOD.payload + b"\n"), UntrustedKey),
    "no signature": (replace(GOOD, annotations={}), SignatureMalformed),
    "an empty signature": (annotated(""), SignatureMalformed),
    "a signature that is not base64": (annotated("no signature!"), SignatureMalformed),
    "a signature cut within base64": (annotated(GOOD_SIGNATURE[:-3]), SignatureMalformed),
    "a shorter signature": (annotated(GOOD_SIGNATURE[:40]), UntrustedKey),
    "a signature of megabytes": (annotated("A" * 1_000_000), SignatureMalformed),
    "a signed payload of another type": (document(type="atomic container signature"), SignatureMalformed),
    "a signed payload without a type": (document(type=None), SignatureMalformed),
    "a signed payload without an image": (document(image=None), SignatureMalformed),
    "a signed payload without a digest": (document(image={}), SignatureMalformed),
    "a digest that is none": (document(image={"docker-manifest-digest": "latest"}), SignatureMalformed),
    "a digest in capitals": (
        document(image={"docker-manifest-digest": "sha256:" + "AB" * 32}),
        SignatureMalformed,
    ),
    "a signed payload without an identity": (document(identity=None), SignatureMalformed),
    "a signed payload that is not JSON": (layer(b"sha256:" + b"ab" * 32), SignatureMalformed),
    "a signed payload that is a list": (layer(b"[]"), SignatureMalformed),
    "two digests in one payload": (
        layer(GOOD.payload.replace(b'"image":{', b'"image":{"docker-manifest-digest":"sha256:' + b"cd" * 32 + b'",')),
        SignatureMalformed,
    ),
    "claims that are not an object": (
        layer(GOOD.payload.replace(b'"optional":null', b'"optional":["x"]')),
        SignatureMalformed,
    ),
    "a signed payload of a megabyte": (layer(GOOD.payload + b" " * 1_000_000), SignatureMalformed),
}


def test_the_untampered_signature_holds() -> None:
    """Else the table would prove nothing."""
    found = verify_signature(GOOD.payload, GOOD.annotations, IMAGE, TRUSTED)
    assert found == Signature(replace(RELEASE.key, version=2), GOOD.payload, {})


@pytest.mark.parametrize("name", LAYERS)
def test_a_tampered_signature_is_refused_by_name(name: str) -> None:
    """By just this cause, with a next action."""
    tampered, cause = LAYERS[name]
    with pytest.raises(TrustError) as caught:
        verify_signature(tampered.payload, tampered.annotations, IMAGE, TRUSTED)
    assert type(caught.value) is cause
    assert caught.value.action
    assert len(str(caught.value)) < 1500


# --- bundles ----------------------------------------------------------------------------------------------------------


def bundle(
    statement: Statement | bytes | None = None,
    *,
    signer: LocalSigner = RELEASE,
    hint: str | None = None,
    kind: str = IN_TOTO,
    signed: Callable[[str, bytes], bytes] = pae,
    sign: Callable[[bytes], bytes] | None = None,
) -> bytes:
    statement = statement or Statement.about(IMAGE, PROVENANCE, PREDICATE)
    payload = statement if isinstance(statement, bytes) else statement.encode()
    signature = (sign or signer.sign_now)(signed(kind, payload))
    return Bundle(Envelope(kind, payload, (signature,)), signer.key.hint if hint is None else hint).encode()


def with_values(changes: Mapping[str, Any]) -> bytes:
    """The good bundle, changed without a signature: `a.b` is a member of a member; None removes one."""
    whole = json.loads(bundle())
    for path, value in changes.items():
        *parents, last = path.split(".")
        inner = whole
        for parent in parents:
            inner = inner[parent]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return json.dumps(whole).encode()


def stated(**members: Any) -> bytes:
    """A statement with other members, signed by the right key; None leaves one out."""
    usual = json.loads(Statement.about(IMAGE, PROVENANCE, PREDICATE).encode())
    values = {key: value for key, value in {**usual, **members}.items() if value is not None}
    return bundle(json.dumps(values).encode())


def envelope_of(raw: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(raw)["dsseEnvelope"]
    return found


def plain_ecdsa(message: bytes) -> bytes:
    """r and s one after the other (IEEE P1363), which JWT has in place of DER."""
    r, s = decode_dss_signature(RELEASE.sign_now(message))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def with_sha512(message: bytes) -> bytes:
    assert isinstance(RELEASE.private, ec.EllipticCurvePrivateKey)
    return RELEASE.private.sign(message, ec.ECDSA(SHA512()))


def with_pss(message: bytes) -> bytes:
    assert isinstance(RSA.private, rsa.RSAPrivateKey)
    return RSA.private.sign(message, padding.PSS(padding.MGF1(SHA256()), padding.PSS.MAX_LENGTH), SHA256())


ABOUT_OTHER = bundle(Statement.about(OTHER, PROVENANCE, PREDICATE))
UNTYPED = bundle(kind="text/plain")

BUNDLES: dict[str, tuple[bytes, type[TrustError]]] = {
    "a statement about another image": (ABOUT_OTHER, OtherImageSigned),
    "another repository": (
        bundle(Statement.about(replace(IMAGE, repository="team/other"), PROVENANCE, PREDICATE)),
        OtherRepositorySigned,
    ),
    "another predicate type": (bundle(Statement.about(IMAGE, SPDX, PREDICATE)), OtherPredicateType),
    "the predicate type with a slash more": (
        bundle(Statement.about(IMAGE, PROVENANCE + "/", PREDICATE)),
        OtherPredicateType,
    ),
    "another payload type": (UNTYPED, OtherPayloadType),
    "no payload type": (bundle(kind=""), OtherPayloadType),
    "by another key": (bundle(signer=STRANGER), UntrustedKey),
    "by another key under the right one's name": (bundle(signer=STRANGER, hint=RELEASE.key.hint), SignatureInvalid),
    "by the right key under another one's name": (bundle(signer=RSA, hint=RELEASE.key.hint), SignatureInvalid),
    "by a revoked version of the key": (bundle(signer=OLD_VERSION), UntrustedKey),
    "a replayed signature at another statement": (
        with_values({"dsseEnvelope.signatures": envelope_of(ABOUT_OTHER)["signatures"]}),
        SignatureInvalid,
    ),
    "another statement under a signature": (
        with_values({"dsseEnvelope.payload": envelope_of(ABOUT_OTHER)["payload"]}),
        SignatureInvalid,
    ),
    "a payload type that was not signed": (
        json.dumps({**json.loads(UNTYPED), "dsseEnvelope": {**envelope_of(UNTYPED), "payloadType": IN_TOTO}}).encode(),
        SignatureInvalid,
    ),
    "a signature over the bare payload": (bundle(signed=lambda kind, payload: payload), SignatureInvalid),
    "ECDSA as r and s": (bundle(sign=plain_ecdsa), SignatureInvalid),
    "ECDSA with another hash": (bundle(sign=with_sha512), SignatureInvalid),
    "RSA with another padding": (bundle(signer=RSA, sign=with_pss), SignatureInvalid),
    "an empty signature": (with_values({"dsseEnvelope.signatures": [{"sig": ""}]}), SignatureInvalid),
    "no signature": (with_values({"dsseEnvelope.signatures": []}), SignatureMalformed),
    "two signatures": (
        with_values({"dsseEnvelope.signatures": envelope_of(bundle())["signatures"] * 2}),
        SignatureMalformed,
    ),
    "a thousand signatures": (
        with_values({"dsseEnvelope.signatures": envelope_of(bundle())["signatures"] * 1000}),
        SignatureMalformed,
    ),
    "a signature that is not base64": (with_values({"dsseEnvelope.signatures": [{"sig": "?"}]}), SignatureMalformed),
    "a payload that is not base64": (with_values({"dsseEnvelope.payload": "{}"}), SignatureMalformed),
    "no payload": (with_values({"dsseEnvelope.payload": None}), SignatureMalformed),
    "no envelope": (with_values({"dsseEnvelope": None}), SignatureMalformed),
    "a signature of a file in place of the envelope": (
        with_values({"dsseEnvelope": None, "messageSignature": {"signature": "eA=="}}),
        SignatureMalformed,
    ),
    "made with a certificate": (
        with_values({"verificationMaterial": {"certificate": {"rawBytes": "eA=="}}}),
        UntrustedKey,
    ),
    "made with a chain of certificates": (
        with_values({"verificationMaterial": {"x509CertificateChain": {"certificates": []}}}),
        UntrustedKey,
    ),
    "no verification material": (with_values({"verificationMaterial": None}), SignatureMalformed),
    "no key": (with_values({"verificationMaterial.publicKey": None}), SignatureMalformed),
    "a hint that is not text": (with_values({"verificationMaterial.publicKey.hint": 7}), SignatureMalformed),
    "another version of the bundle": (
        with_values({"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1"}),
        SignatureMalformed,
    ),
    "no media type": (with_values({"mediaType": None}), SignatureMalformed),
    "not JSON": (b"<html>not found</html>", SignatureMalformed),
    "nothing": (b"", SignatureMalformed),
    "a list": (b"[]", SignatureMalformed),
    "two envelopes": (
        bundle()[:-1] + b',"dsseEnvelope":' + json.dumps(envelope_of(ABOUT_OTHER)).encode() + b"}",
        SignatureMalformed,
    ),
    "a million values": (bundle()[:-1] + b',"x":[' + b"[]," * 1_000_000 + b"[]]}", SignatureMalformed),
    "deep nesting": (bundle()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", SignatureMalformed),
    "a number that takes hours to read": (bundle()[:-1] + b',"x":' + b"9" * 100_000 + b"}", SignatureMalformed),
    "not a number": (bundle()[:-1] + b',"x":NaN}', SignatureMalformed),
    "a statement of another version": (stated(_type="https://in-toto.io/Statement/v2"), SignatureMalformed),
    "a statement without a type": (stated(predicateType=None), SignatureMalformed),
    "a statement about nothing": (stated(subject=[]), SignatureMalformed),
    "a subject that is text": (stated(subject=["sha256:" + "ab" * 32]), SignatureMalformed),
    "a subject without digests": (stated(subject=[{"name": IMAGE.name}]), SignatureMalformed),
    "a digest that is not text": (stated(subject=[{"digest": {"sha256": 7}}]), SignatureMalformed),
    "the right digest of another algorithm": (stated(subject=[{"digest": {"sha512": "ab" * 32}}]), OtherImageSigned),
    "a digest in capitals": (stated(subject=[{"digest": {"sha256": "AB" * 32}}]), OtherImageSigned),
    "the right name at another digest": (
        stated(subject=[{"name": IMAGE.name, "digest": {"sha256": "cd" * 32}}, {"name": "x", "digest": {}}]),
        OtherImageSigned,
    ),
    "a predicate that is a list": (stated(predicate=[]), SignatureMalformed),
    "no predicate": (stated(predicate=None), SignatureMalformed),
    "a signed statement that is not JSON": (bundle(b"PASSED"), SignatureMalformed),
    "a signed statement with deep nesting": (
        bundle(b'{"predicate":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        SignatureMalformed,
    ),
}


def test_the_untampered_bundle_holds() -> None:
    """Else the table would prove nothing. What does not touch what is signed may be there."""
    for raw in (
        bundle(),
        bundle(hint=""),
        bundle(hint="release-key"),
        with_values({"verificationMaterial.tlogEntries": None}),
    ):
        found = verify_bundle(raw, IMAGE, PROVENANCE, TRUSTED)
        assert isinstance(found, Attestation)
        assert found.key == replace(RELEASE.key, version=2)
        assert found.statement.predicate == PREDICATE


@pytest.mark.parametrize("name", BUNDLES)
def test_a_tampered_bundle_is_refused_by_name(name: str) -> None:
    """By just this cause, with a next action."""
    raw, cause = BUNDLES[name]
    with pytest.raises(TrustError) as caught:
        verify_bundle(raw, IMAGE, PROVENANCE, TRUSTED)
    assert type(caught.value) is cause, caught.value
    assert caught.value.action
    assert len(str(caught.value)) < 1500


def test_a_bundle_cut_anywhere_is_refused() -> None:
    """At each byte."""
    whole = bundle()
    for end in range(len(whole)):
        with pytest.raises(SignatureMalformed):
            verify_bundle(whole[:end], IMAGE, PROVENANCE, TRUSTED)


def test_a_bundle_with_any_bit_of_its_payload_turned_is_refused() -> None:
    """Whatever that makes of it."""
    whole = json.loads(bundle())
    payload = base64.b64decode(whole["dsseEnvelope"]["payload"])
    for at in range(len(payload)):
        changed = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        whole["dsseEnvelope"]["payload"] = base64.b64encode(changed).decode()
        with pytest.raises(SignatureInvalid):
            verify_bundle(json.dumps(whole).encode(), IMAGE, PROVENANCE, TRUSTED)


def test_a_bundle_larger_than_any_is_not_parsed() -> None:
    with pytest.raises(SignatureMalformed, match="bytes"):
        verify_bundle(b" " * (MAX_BUNDLE_BYTES + 1), IMAGE, PROVENANCE, TRUSTED)


def test_an_envelope_on_its_own_may_have_several_signatures() -> None:
    """One by a trusted key is enough (protocol.md); none is not."""
    payload = Statement.about(IMAGE, PROVENANCE, PREDICATE).encode()
    signatures = [signer.sign_now(pae(IN_TOTO, payload)) for signer in (STRANGER, RELEASE)]
    both = json.dumps(Envelope(IN_TOTO, payload, tuple(signatures)).document).encode()
    assert verify_envelope(both, IMAGE, PROVENANCE, TRUSTED).key == replace(RELEASE.key, version=2)
    strangers = json.dumps(Envelope(IN_TOTO, payload, (signatures[0],)).document).encode()
    with pytest.raises(UntrustedKey):
        verify_envelope(strangers, IMAGE, PROVENANCE, TRUSTED)


@pytest.mark.parametrize(
    "name", ["index.docker.io/team/app", "docker.io/team/app", "team/app", "docker.io/team/app:1.0"]
)
def test_docker_hubs_names_are_one(name: str) -> None:
    """cosign writes index.docker.io, others docker.io or a tag with it."""
    image = ImageReference.parse(f"team/app@{IMAGE.digest}")
    signed = layer(SimplePayload(name, str(IMAGE.digest)).encode())
    assert verify_signature(signed.payload, signed.annotations, image, TRUSTED)


def test_how_many_cases_there_are() -> None:
    """The table is not to shrink unnoticed."""
    assert len(LAYERS) + len(BUNDLES) >= 80
