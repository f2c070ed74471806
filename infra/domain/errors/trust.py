"""Signatures and attestations."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError

_NOT_WHAT_WAS_SIGNED = "do not use this image until you know who added the signature"


class TrustError(SlipwayError):
    pass


class NotSigned(TrustError):
    default_action = "sign the image's digest, or check that its signatures were copied with it"


class NotAttested(TrustError):
    default_action = "release the image again with this attestation, or check that it was copied with the image"


class UntrustedKey(TrustError):
    default_action = (
        "name the key that signed it with --key; if that is an older version of a trusted key, it was revoked: "
        "sign the image again"
    )


class SignatureInvalid(TrustError):
    default_action = _NOT_WHAT_WAS_SIGNED


class SignatureMalformed(TrustError):
    default_action = "find out what wrote or truncated it, then sign the image again"


class OtherImageSigned(TrustError):
    default_action = _NOT_WHAT_WAS_SIGNED


class OtherRepositorySigned(TrustError):
    default_action = "use the repository that the image was released to, or sign the image in its present repository"


class OtherPayloadType(TrustError):
    default_action = "verify it with the tool that made it; Slipway reads in-toto statements"


class OtherSource(TrustError):
    default_action = "release the image from the required source, without local changes, or correct the requirement"


class OtherRef(TrustError):
    default_action = "release the image with --ref and the required branch or tag, or correct the requirement"


class TooOld(TrustError):
    default_action = "release the image again, or allow a higher age"


class BuildTimeUnknown(TrustError):
    default_action = "check the builder's clock, then release the image again"


class GateNotPassed(TrustError):
    default_action = "fix what the gate found and release the image again; a later result of the same gate counts"


class NotRebuilt(TrustError):
    default_action = "run `slipway rebuild`, with --sign if the digests are equal"


class NotRebuildable(TrustError):
    default_action = "release the image again from a commit, with --reproducible"


class OtherPredicateType(TrustError):
    default_action = "request the type that it states, or release the image again with the attestation you need"
