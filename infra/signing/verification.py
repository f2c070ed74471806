"""Check whether an attachment was signed by a trusted key for this image, and what it states.

Each refusal is a TrustError of its own. Nothing of the content is believed before its signature was verified; what the
registry says of it (media types, annotations) never is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect_slipway.infra.domain.errors import (
    InvalidReference,
    OtherImageSigned,
    OtherPayloadType,
    OtherPredicateType,
    OtherRepositorySigned,
    TrustError,
)
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import PublicKey, Verifier
from prefect_slipway.infra.signing.bundle import MAX_BUNDLE_BYTES, Bundle
from prefect_slipway.infra.signing.dsse import Envelope
from prefect_slipway.infra.signing.reading import read_object
from prefect_slipway.infra.signing.simple import SimplePayload, signature_of
from prefect_slipway.infra.signing.statement import IN_TOTO, Statement

DSSE_ENVELOPE = "application/vnd.dsse.envelope.v1+json"
"""The layers of the tag `sha256-HEX.att`, where cosign 2.x attaches attestations."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A verified signature of an image in the older format. `claims`: what else its signer signed with it."""

    key: PublicKey
    payload: bytes = field(repr=False)
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Attestation:
    """A verified statement about an image. `payload`: exactly the signed bytes."""

    key: PublicKey
    payload: bytes = field(repr=False)
    statement: Statement


def verify_signature(
    payload: bytes, annotations: Mapping[str, str], image: ImageReference, verifier: Verifier
) -> Signature:
    """A layer of cosign's older format. `image`: by its digest. Raises TrustErrors."""
    key = verifier.verify(payload, signature_of(annotations))
    claimed = SimplePayload.parse(payload)
    if claimed.digest != image.digest:
        raise OtherImageSigned(f"a signature of {claimed.digest}, not of {image.digest}")
    _check_repository([claimed.repository], image)
    return Signature(key, payload, claimed.optional)


def verify_bundle(content: bytes, image: ImageReference, predicate_type: str, verifier: Verifier) -> Attestation:
    """A Sigstore bundle with a statement of this type. `image`: by its digest. Raises TrustErrors."""
    bundle = Bundle.parse(content)
    return _verify_envelope(bundle.envelope, bundle.hint, image, predicate_type, verifier)


def verify_envelope(content: bytes, image: ImageReference, predicate_type: str, verifier: Verifier) -> Attestation:
    """An envelope on its own, as cosign 2.x attaches it. `image`: by its digest. Raises TrustErrors."""
    envelope = Envelope.read(read_object(content, "an envelope", limit=MAX_BUNDLE_BYTES, parts=1000))
    return _verify_envelope(envelope, "", image, predicate_type, verifier)


def _verify_envelope(
    envelope: Envelope, hint: str, image: ImageReference, predicate_type: str, verifier: Verifier
) -> Attestation:
    if envelope.payload_type != IN_TOTO:
        raise OtherPayloadType(f"the signed payload is of the type {envelope.payload_type[:100]!r}, not {IN_TOTO!r}")
    key = _signer(envelope, hint, verifier)
    statement = Statement.parse(envelope.payload)
    matching = [subject for subject in statement.subjects if image.digest and subject.has(image.digest)]
    if not matching:
        stated = ", ".join(f"{name}:{value}" for name, value in list(statement.subjects[0].digests.items())[:3])
        raise OtherImageSigned(f"a statement about {stated or 'no digest'}, not about {image.digest}")
    if statement.predicate_type != predicate_type:
        raise OtherPredicateType(f"a statement of the type {statement.predicate_type!r}, not {predicate_type!r}")
    # A name is optional; digest and key hold without one, and nobody but the key's holder can leave it out.
    names = [subject.name for subject in matching]
    if None not in names:
        _check_repository([str(name) for name in names], image)
    return Attestation(key, envelope.payload, statement)


def _signer(envelope: Envelope, hint: str, verifier: Verifier) -> PublicKey:
    refused: TrustError | None = None
    for signature in envelope.signatures:
        try:
            return verifier.verify(envelope.signed, signature, hint=hint)
        except TrustError as error:
            refused = refused or error
    assert refused is not None  # an envelope has at least one signature
    raise refused


def _check_repository(names: Sequence[str], image: ImageReference) -> None:
    if not any(_is_name_of(name, image) for name in names):
        raise OtherRepositorySigned(f"a signature of this digest as {names[0][:300]!r}, not as {image.name}")


def _is_name_of(name: str, image: ImageReference) -> bool:
    """Whether a signer's name of an image, with or without tag, is this one's (Docker Hub has several)."""
    try:
        return ImageReference.parse(name).name == image.name
    except InvalidReference:
        return False
