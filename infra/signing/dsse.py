"""Dead Simple Signing Envelope: signed bytes together with their type.

Source: secure-systems-lab/dsse, `protocol.md` and `envelope.md`, version 1.0.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from prefect_slipway.infra.domain.errors import SignatureMalformed
from prefect_slipway.infra.signing.reading import decode_base64, member

_WHAT = "an envelope"
_MAX_SIGNATURES = 20


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: type and payload, each with its length in bytes, so that neither can be taken for the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, the type it was signed as, and its signatures."""

    payload_type: str
    payload: bytes = field(repr=False)
    signatures: tuple[bytes, ...] = field(repr=False)

    @property
    def signed(self) -> bytes:
        return pae(self.payload_type, self.payload)

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it; `keyid` stays empty, as Sigstore's tools leave it."""
        return {
            "payload": base64.b64encode(self.payload).decode("ascii"),
            "payloadType": self.payload_type,
            "signatures": [
                {"sig": base64.b64encode(signature).decode("ascii"), "keyid": ""} for signature in self.signatures
            ],
        }

    @classmethod
    def read(cls, document: dict[str, Any]) -> Envelope:
        """Raises SignatureMalformed."""
        entries = member(document, "signatures", list, _WHAT)
        if not 0 < len(entries) <= _MAX_SIGNATURES or not all(isinstance(entry, dict) for entry in entries):
            raise SignatureMalformed(f"{_WHAT} without signatures, or with more than {_MAX_SIGNATURES}")
        return cls(
            payload_type=member(document, "payloadType", str, _WHAT),
            payload=decode_base64(member(document, "payload", str, _WHAT), f"{_WHAT}'s payload"),
            signatures=tuple(decode_base64(member(entry, "sig", str, _WHAT), "a signature") for entry in entries),
        )
