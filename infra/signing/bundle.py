"""Sigstore bundle v0.3 around an envelope, for a key that is verified by its public half only.

Source: sigstore/protobuf-specs, `sigstore_bundle.proto` (as JSON) and sigstore/cosign `specs/BUNDLE_SPEC.md` (the
annotations under which a registry lists it).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from prefect_slipway.infra.domain.errors import SignatureMalformed, UntrustedKey
from prefect_slipway.infra.domain.signing import Attachment, PublicKey
from prefect_slipway.infra.signing.dsse import Envelope
from prefect_slipway.infra.signing.reading import member, read_object

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_ANNOTATION = "dev.sigstore.bundle.predicateType"
MAX_BUNDLE_BYTES = 64 * 1024 * 1024
"""An SBOM may be large; a bundle holds it in base64."""

_CONTENT_ANNOTATION = "dev.sigstore.bundle.content"
_CREATED_ANNOTATION = "org.opencontainers.image.created"
_WHAT = "a bundle"
# One has a few dozen, and what it signs is base64.
_MAX_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """An envelope, and how its key is named (PublicKey.hint; empty for not at all)."""

    envelope: Envelope
    hint: str

    def encode(self) -> bytes:
        """The same bytes for the same values."""
        document = {
            "mediaType": BUNDLE,
            # No transparency log: users of Vault and a private registry have none to write to.
            "verificationMaterial": {"publicKey": {"hint": self.hint}, "tlogEntries": []},
            "dsseEnvelope": self.envelope.document,
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, raw: bytes) -> Bundle:
        """Raises SignatureMalformed, and UntrustedKey for one that was made with a certificate instead of a key."""
        document = read_object(raw, _WHAT, limit=MAX_BUNDLE_BYTES, parts=_MAX_PARTS)
        if document.get("mediaType") != BUNDLE:
            raise SignatureMalformed(f"{_WHAT} of another version than v0.3")
        material = member(document, "verificationMaterial", dict, _WHAT)
        if "certificate" in material or "x509CertificateChain" in material:
            raise UntrustedKey("the signature was made with a certificate (keyless), not with one of the trusted keys")
        key = member(material, "publicKey", dict, _WHAT)
        hint = key.get("hint", "")
        if not isinstance(hint, str):
            raise SignatureMalformed(f"{_WHAT} whose key's hint is not text")
        envelope = Envelope.read(member(document, "dsseEnvelope", dict, _WHAT))
        if len(envelope.signatures) != 1:
            raise SignatureMalformed(f"{_WHAT} with more than one signature")
        return cls(envelope, hint)


def bundle_attachment(
    envelope: Envelope, key: PublicKey, predicate_type: str, *, created: str | None = None
) -> Attachment:
    """`created`: an RFC 3339 time to show in the registry's list, None for none; it is part of the digest."""
    annotations = {_CONTENT_ANNOTATION: "dsse-envelope", PREDICATE_ANNOTATION: predicate_type}
    if created is not None:
        annotations[_CREATED_ANNOTATION] = created
    return Attachment(BUNDLE, Bundle(envelope, key.hint).encode(), annotations)
