"""Verify an image: one signature by a trusted key, and attestations of the requested types."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.flows.trust.attached import read
from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import Attached, Attachments, Verifier
from prefect_slipway.infra.signing.bundle import PREDICATE_ANNOTATION
from prefect_slipway.infra.signing.statement import SIGNED
from prefect_slipway.infra.signing.verification import (
    Attestation,
    Signature,
    verify_bundle,
    verify_envelope,
    verify_signature,
)

# Of several rejections, the one that came furthest says most: signed by a trusted key, but not for this image.
_FURTHEST: tuple[type[errors.SlipwayError], ...] = (
    errors.OtherPredicateType,
    errors.OtherRepositorySigned,
    errors.OtherImageSigned,
    errors.SignatureInvalid,
    errors.OtherPayloadType,
    errors.UntrustedKey,
    errors.SlipwayError,
)


async def verify_signed(
    image: ImageReference, verifier: Verifier, *, tagged: Attachments, referrers: Attachments
) -> Sequence[Signature | Attestation]:
    """All valid signatures of an image, in the older format (`tagged`) and the newer one; never empty.

    `image`: by its digest, with the repository that it was signed in. Raises NotSigned if there is none at all, what
    was wrong with the one that came furthest where none holds, and RegistryErrors.
    """
    assert image.digest is not None

    def old(content: bytes, attached: Attached) -> Signature:
        return verify_signature(content, attached.annotations, image, verifier)

    older = await read(await tagged.attached(image.digest), tagged, old)
    newer, refused = await _attestations(image, SIGNED, verifier, referrers)
    accepted: list[Signature | Attestation] = [*older.accepted, *newer]
    if not accepted:
        _refuse([*older.refused, *refused], errors.NotSigned(f"{image} is not signed"))
    return accepted


async def verify_attested(
    image: ImageReference,
    predicate_type: str,
    verifier: Verifier,
    *,
    referrers: Attachments,
    envelopes: Attachments | None = None,
) -> Sequence[Attestation]:
    """All valid attestations of a type about an image; never empty.

    `envelopes`: where cosign 2.x attaches them, None for not to look there. Raises NotAttested if there is none of
    the type, else as `verify_signed` does.
    """
    assert image.digest is not None
    accepted, refused = await _attestations(image, predicate_type, verifier, referrers)
    if envelopes is not None:

        def old(content: bytes, attached: Attached) -> Attestation:
            return verify_envelope(content, image, predicate_type, verifier)

        listed = [
            each for each in await envelopes.attached(image.digest) if _may_be(predicate_type, each, "predicateType")
        ]
        older = await read(listed, envelopes, old)
        accepted, refused = [*accepted, *older.accepted], [*refused, *older.refused]
    if not accepted:
        _refuse(refused, errors.NotAttested(f"{image} has no attestation of the type {predicate_type}"))
    return accepted


async def _attestations(
    image: ImageReference, predicate_type: str, verifier: Verifier, store: Attachments
) -> tuple[list[Attestation], list[errors.SlipwayError]]:
    assert image.digest is not None

    def verify(content: bytes, attached: Attached) -> Attestation:
        return verify_bundle(content, image, predicate_type, verifier)

    listed = [
        each for each in await store.attached(image.digest) if _may_be(predicate_type, each, PREDICATE_ANNOTATION)
    ]
    found = await read(listed, store, verify)
    return list(found.accepted), list(found.refused)


def _may_be(predicate_type: str, attached: Attached, annotation: str) -> bool:
    """What the list says of a type spares reading the others; that it is true is verified afterwards."""
    return attached.annotations.get(annotation, predicate_type) == predicate_type


def _refuse(refused: Sequence[errors.SlipwayError], nothing: errors.SlipwayError) -> None:
    if not refused:
        raise nothing
    best = min(refused, key=lambda error: next(at for at, kind in enumerate(_FURTHEST) if isinstance(error, kind)))
    others = [f"{error.name}: {error.cause}" for error in refused if error is not best]
    raise type(best)(best.cause, action=best.action, details="\n".join(others))
