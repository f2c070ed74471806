"""Public keys: read from PEM files and trusted as signers.

One rule for all formats, that of Sigstore's tools for a plain public key: the key's type says how a signature is made
(ECDSA and RSA PKCS #1 v1.5 with SHA-256, whatever the key's size; Ed25519), never what comes along with the signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from prefect_slipway.infra.domain.errors import InvalidKey, SignatureInvalid, UntrustedKey
from prefect_slipway.infra.domain.signing import PublicKey

_Loaded: TypeAlias = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey

_CURVES = (SECP256R1, SECP384R1)
_RSA_BITS = range(2048, 8192 + 1)
_BLOCK = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----.*?-----END (?P=label)-----", re.DOTALL)


def read_public_keys(text: str, name: str) -> tuple[PublicKey, ...]:
    """All public keys of a PEM text. `name`: of the file, for messages. Raises InvalidKey."""
    found = []
    for block in _BLOCK.finditer(text):
        if "PRIVATE" in block["label"]:
            raise InvalidKey(
                f"{name} contains a private key", action="use the file with its public key, e.g. cosign.pub"
            )
        if block["label"] != "PUBLIC KEY":
            raise InvalidKey(f"{name} contains a block {block['label']!r} instead of a 'PUBLIC KEY'")
        try:
            key = PublicKey.from_pem(name, block[0])
        except ValueError as error:
            raise InvalidKey(f"{name} contains a public key that is truncated or not PEM") from error
        load(key)
        found.append(key)
    if not found:
        raise InvalidKey(f"{name} contains no public key in PEM")
    return tuple(found)


def load(key: PublicKey) -> _Loaded:
    """The key as cryptography has it. Raises InvalidKey for what is unreadable, weak or of another type."""
    try:
        loaded = load_der_public_key(key.spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidKey(f"{key.name} is not a public key") from error
    if isinstance(loaded, EllipticCurvePublicKey) and isinstance(loaded.curve, _CURVES):
        return loaded
    if isinstance(loaded, Ed25519PublicKey):
        return loaded
    if isinstance(loaded, RSAPublicKey) and loaded.key_size in _RSA_BITS:
        return loaded
    raise InvalidKey(f"{key.name} is a key of a type or size that image signatures do not use")


class TrustedKeys:
    """A Verifier over public keys. Raises InvalidKey for a key it cannot verify with, or for none at all."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = [(key, load(key)) for key in keys]
        if not self._keys:
            raise InvalidKey("there is no key to verify signatures with")

    def verify(self, message: bytes, signature: bytes, *, hint: str = "") -> PublicKey:
        named = [(key, loaded) for key, loaded in self._keys if hint and key.hint == hint]
        # A hint that fits no key says nothing: other tools name keys in other ways.
        for key, loaded in named or self._keys:
            if _fits(loaded, message, signature):
                return key
        if named:
            raise SignatureInvalid(f"the signature names {named[0][0]}, but that key did not sign these bytes")
        raise UntrustedKey(f"none of the trusted keys made the signature: {self}")

    def __str__(self) -> str:
        return ", ".join(str(key) for key, _ in self._keys)


def _fits(key: _Loaded, message: bytes, signature: bytes) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, message, ECDSA(SHA256()))
        else:
            key.verify(signature, message, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
