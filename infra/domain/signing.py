"""Signing and verifying: public keys, and the ports for signers, verifiers and signature stores.

Adapters: a key in Vault signs (`vault.transit`), public keys verify (`signing`), a registry keeps what was signed
beside the image (`registry.referrers`, `registry.signatures`).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\s(?P<body>[A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")
# SubjectPublicKeyInfo of an Ed25519 key up to its 32 bytes (RFC 8410, section 4 and the example in 10.1).
_ED25519 = bytes.fromhex("302a300506032b6570032100")
_ED25519_BYTES = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are verified with.

    `name`: where it comes from (`vault:transit/release`, a file). `version`: its version there, None without versions.
    `spki`: DER of its SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), not validated here: prefect_slipway.infra.signing does.
    """

    name: str
    spki: bytes = field(repr=False)
    version: int | None = None

    @classmethod
    def from_pem(cls, name: str, pem: str, version: int | None = None) -> PublicKey:
        """Read the one `PUBLIC KEY` block of a PEM text (RFC 7468, section 13). Raises ValueError."""
        blocks = _PEM.findall(pem)
        if len(blocks) != 1:
            raise ValueError(f"{len(blocks)} public keys instead of one")
        return cls(name, base64.b64decode("".join(blocks[0].split()), validate=True), version)

    @classmethod
    def from_ed25519(cls, name: str, key: str, version: int | None = None) -> PublicKey:
        """Read the 32 bytes of an Ed25519 key in base64, as Vault has it. Raises ValueError."""
        raw = base64.b64decode(key, validate=True)
        if len(raw) != _ED25519_BYTES:
            raise ValueError(f"{len(raw)} bytes instead of {_ED25519_BYTES}")
        return cls(name, _ED25519 + raw, version)

    @property
    def pem(self) -> str:
        body = base64.b64encode(self.spki).decode("ascii")
        lines = [body[at : at + 64] for at in range(0, len(body), 64)]
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])

    @property
    def fingerprint(self) -> str:
        """sha256 of the SubjectPublicKeyInfo, in hex."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def hint(self) -> str:
        """The same in base64: how Sigstore's tools name a key in a bundle."""
        return base64.b64encode(bytes.fromhex(self.fingerprint)).decode("ascii")

    def __str__(self) -> str:
        version = f" version {self.version}" if self.version is not None else ""
        return f"{self.name}{version} (sha256:{self.fingerprint[:12]})"


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes to attach to an image, e.g. a signature with what it signs. `annotations`: shown in the registry's list."""

    media_type: str
    content: bytes = field(repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attached:
    """What the registry's list says of an attachment. Nothing in it is verified.

    `digest`: of what holds the content. `size`: in bytes, of the same.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)


class Signer(Protocol):
    """A private key that stays where it is."""

    async def public_key(self) -> PublicKey:
        """The public half of the key that `sign` signs with; the same as long as the signer lives."""
        ...

    async def sign(self, message: bytes) -> bytes:
        """Sign with SHA-256, as the key's type has it: ECDSA (DER), RSA PKCS #1 v1.5, Ed25519 (no hash)."""
        ...


class Verifier(Protocol):
    """The public keys that are trusted."""

    def verify(self, message: bytes, signature: bytes, *, hint: str = "") -> PublicKey:
        """The trusted key that signed `message`. `hint`: how the signature names its key, empty for not at all.

        Raises UntrustedKey, or SignatureInvalid where the hint is that of a trusted key.
        """
        ...


class Attachments(Protocol):
    """Where one kind of attachment to the images of one repository is kept. All methods raise RegistryErrors."""

    async def attached(self, digest: str) -> Sequence[Attached]:
        """What is attached to the image with this digest, in the order of the registry's list."""
        ...

    async def content(self, attached: Attached) -> bytes:
        """Raises AnswerTooLarge, DigestMismatch and ManifestUnknown, if what was listed is not what is there."""
        ...

    async def add(self, digest: str, attachments: Sequence[Attachment]) -> None:
        """Attach to the image with this digest; what others attach at the same moment stays. Safe to run twice."""
        ...
