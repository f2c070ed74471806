"""Signatures as `ssh-keygen -Y sign` makes them, which git takes for commits (`gpg.format=ssh`).

Source: OpenSSH, PROTOCOL.sshsig; of keys and raw signatures RFC 4253 section 6.6, RFC 5656 section 3.1.2, RFC 8332
section 3 and RFC 8709 section 6.
"""

from __future__ import annotations

import base64
import hashlib
import textwrap

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_ssh_private_key,
)

from prefect_slipway.infra.domain.errors import InvalidKey
from prefect_slipway.infra.domain.signing import PublicKey, Signer

_MAGIC = b"SSHSIG"
_HASH = b"sha512"
_FOR_SSH = "use a key of the type Ed25519, ECDSA P-256, or RSA of 2048 bits or more"


class PrivateKeySigner:
    """A Signer over a private key in memory. `name`: where it comes from."""

    def __init__(self, name: str, text: str) -> None:
        """`text`: the key as OpenSSH or PEM has it, without a passphrase. Raises InvalidKey."""
        load = load_ssh_private_key if "OPENSSH" in text else load_pem_private_key
        try:
            key = load(f"{text.strip()}\n".encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidKey(f"{name} is not a private key without a passphrase", action=_FOR_SSH) from error
        if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise InvalidKey(f"{name} is a key of a type that cannot sign commits", action=_FOR_SSH)
        self._name = name
        self._key = key

    async def public_key(self) -> PublicKey:
        return PublicKey(
            self._name, self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    async def sign(self, message: bytes) -> bytes:
        match self._key:
            case ed25519.Ed25519PrivateKey():
                return self._key.sign(message)
            case ec.EllipticCurvePrivateKey():
                return self._key.sign(message, ec.ECDSA(hashes.SHA256()))
            case _:
                return self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())


async def ssh_signature(signer: Signer, message: bytes, *, namespace: str = "git") -> str:
    """The armored signature of `message`. Raises InvalidKey for a key that ssh has no SHA-256 signature of, and as the
    signer."""
    public = await signer.public_key()
    key = load_der_public_key(public.spki)
    signed = b"".join(map(_string, (namespace.encode(), b"", _HASH, hashlib.sha512(message).digest())))
    raw = await signer.sign(_MAGIC + signed)
    if isinstance(key, ed25519.Ed25519PublicKey):
        signature = _string(b"ssh-ed25519") + _string(raw)
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        r, s = decode_dss_signature(raw)
        signature = _string(b"ecdsa-sha2-nistp256") + _string(_integer(r) + _integer(s))
    elif isinstance(key, rsa.RSAPublicKey):
        signature = _string(b"rsa-sha2-256") + _string(raw)
    else:
        raise InvalidKey(f"{public} is a key of a type that cannot sign commits", action=_FOR_SSH)
    blob = base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
    parts = (blob, namespace.encode(), b"", _HASH, signature)
    body = base64.b64encode(_MAGIC + (1).to_bytes(4, "big") + b"".join(map(_string, parts))).decode("ascii")
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *textwrap.wrap(body, 70), "-----END SSH SIGNATURE-----", ""])


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _integer(value: int) -> bytes:
    """`mpint`, RFC 4251 section 5: two's complement."""
    return _string(value.to_bytes(value.bit_length() // 8 + 1, "big"))
