"""The simple signing payload, which cosign's older format signs.

Sources: sigstore/cosign `specs/SIGNATURE_SPEC.md`; containers/image `docs/containers-signature.5.md`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_slipway.infra.domain.errors import SignatureMalformed
from prefect_slipway.infra.domain.reference import is_digest
from prefect_slipway.infra.domain.signing import Attachment
from prefect_slipway.infra.signing.reading import decode_base64, member, read_object

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"

_TYPE = "cosign container image signature"
_WHAT = "a signature's payload"
_LIMIT = 64 * 1024
_SIGNATURE_LIMIT = 8 * 1024


@dataclass(frozen=True, slots=True)
class SimplePayload:
    """What is signed: `repository` (HOST/REPOSITORY as its signer knew it), `digest`, and `optional` claims."""

    repository: str
    digest: str
    optional: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The same bytes for the same values, whoever encodes them."""
        critical = {
            "identity": {"docker-reference": self.repository},
            "image": {"docker-manifest-digest": self.digest},
            "type": _TYPE,
        }
        optional = dict(self.optional) or None
        return json.dumps({"critical": critical, "optional": optional}, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, raw: bytes) -> SimplePayload:
        """Raises SignatureMalformed."""
        document = read_object(raw, _WHAT, limit=_LIMIT)
        critical = member(document, "critical", dict, _WHAT)
        if critical.get("type") != _TYPE:
            raise SignatureMalformed(f"{_WHAT} of another type than {_TYPE!r}")
        digest = member(member(critical, "image", dict, _WHAT), "docker-manifest-digest", str, _WHAT)
        if not is_digest(digest):
            raise SignatureMalformed(f"{_WHAT} without a digest of an image")
        repository = member(member(critical, "identity", dict, _WHAT), "docker-reference", str, _WHAT)
        optional = document.get("optional")
        if not isinstance(optional, dict | None):
            raise SignatureMalformed(f"{_WHAT} with 'optional' claims that are not an object")
        return cls(repository, digest, optional or {})


def signature_attachment(payload: bytes, signature: bytes) -> Attachment:
    """The layer that holds a payload, with its signature as annotation."""
    return Attachment(SIMPLE_SIGNING, payload, {SIGNATURE_ANNOTATION: base64.b64encode(signature).decode("ascii")})


def signature_of(annotations: Mapping[str, str]) -> bytes:
    """The signature in the annotations of such a layer. Raises SignatureMalformed."""
    text = annotations.get(SIGNATURE_ANNOTATION, "")
    if not text or len(text) > _SIGNATURE_LIMIT:
        raise SignatureMalformed(f"a layer without a signature in its annotation {SIGNATURE_ANNOTATION!r}")
    return decode_base64(text, "a signature")
