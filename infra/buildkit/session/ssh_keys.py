"""Private key files as an in-memory SSH agent, which signs with them and reveals nothing else.

Messages: draft-miller-ssh-agent, section 3. Signatures: RFC 4253 section 6.6 (RSA), RFC 8332 (RSA with SHA-2), RFC 5656
section 3.1.2 (ECDSA), RFC 8709 (Ed25519). Key formats: OpenSSH's and PEM (PKCS#1, PKCS#8, SEC 1), without passphrase.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from prefect_slipway.infra.common.tasks import in_thread
from prefect_slipway.infra.domain.errors import InvalidOption

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_REQUEST_IDENTITIES, _IDENTITIES, _SIGN_REQUEST, _SIGNED = 11, 12, 13, 14
_FAILURE = b"\x00\x00\x00\x01\x05"
# SSH_AGENT_RSA_SHA2_256 and SSH_AGENT_RSA_SHA2_512.
_RSA_SHA256, _RSA_SHA512 = 2, 4
_LARGEST_KEY = 100 * 1024
_CURVE_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


class _Identity(NamedTuple):
    """`blob`: the public key as the protocol has it; `comment`: the file's name."""

    key: Key
    blob: bytes
    comment: bytes


class SshKeys:
    """An agent that holds these keys while a build runs."""

    def __init__(self, identities: Sequence[_Identity]) -> None:
        self._identities = {identity.blob: identity for identity in identities}

    @classmethod
    def read(cls, name: str, paths: Sequence[Path]) -> Self:
        """Raises InvalidOption for a file that is not a private key without a passphrase."""
        return cls([_identity(f"ssh {name!r}: {path}", path) for path in paths])

    @classmethod
    def of(cls, name: str, keys: Mapping[str, bytes]) -> Self:
        """Keys that are in no file. `keys`: their text, by where it was read. Raises InvalidOption."""
        return cls([_identity_of(f"ssh {name!r}: {place}", text, name) for place, text in keys.items()])

    async def answer(self, request: bytes) -> bytes:
        kind, body = request[4], request[5:]
        if kind == _REQUEST_IDENTITIES:
            listed = b"".join(_string(one.blob) + _string(one.comment) for one in self._identities.values())
            return _string(bytes([_IDENTITIES]) + len(self._identities).to_bytes(4, "big") + listed)
        if kind != _SIGN_REQUEST:
            return _FAILURE
        try:
            blob, rest = _read(body)
            data, rest = _read(rest)
        except ValueError:
            return _FAILURE
        identity = self._identities.get(blob)
        if identity is None:
            return _FAILURE
        signature = await in_thread(partial(_sign, identity.key, data, int.from_bytes(rest[:4], "big")))
        return _string(bytes([_SIGNED]) + _string(signature))

    async def close(self) -> None:
        """Nothing is open; the keys go with the build."""


def _identity(what: str, path: Path) -> _Identity:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_KEY)
    except OSError as error:
        raise InvalidOption(f"{what} cannot be read: {error.strerror}", action="pass a socket or a key") from error
    return _identity_of(what, text, path.name)


def _identity_of(what: str, text: bytes, comment: str) -> _Identity:
    load = serialization.load_ssh_private_key if b"OPENSSH PRIVATE KEY" in text else serialization.load_pem_private_key
    try:
        key = load(text.rstrip() + b"\n", None)
    except TypeError:
        # What the library raises where a passphrase is missing.
        raise InvalidOption(
            f"{what} has a passphrase", action="add it to an agent (ssh-add) and pass the agent's socket"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        # Without the library's words, which were not written with secrets in mind.
        raise InvalidOption(
            f"{what} is neither the socket of an SSH agent nor a private key", action="check the path"
        ) from None
    if not isinstance(key, Key) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in _CURVE_HASHES
    ):
        raise InvalidOption(f"{what} is a key of an unsupported type", action="use Ed25519, ECDSA or RSA")
    openssh = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return _Identity(key, base64.b64decode(openssh.split()[1]), comment.encode(errors="surrogateescape"))


def _sign(key: Key, data: bytes, flags: int) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _string(b"ssh-ed25519") + _string(key.sign(data))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        name = f"ecdsa-sha2-nistp{key.curve.key_size}".encode()
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_CURVE_HASHES[key.curve.name])))
        return _string(name) + _string(_integer(r) + _integer(s))
    algorithm, name = _rsa(flags)
    return _string(name) + _string(key.sign(data, padding.PKCS1v15(), algorithm))


def _rsa(flags: int) -> tuple[hashes.HashAlgorithm, bytes]:
    if flags & _RSA_SHA512:
        return hashes.SHA512(), b"rsa-sha2-512"
    if flags & _RSA_SHA256:
        return hashes.SHA256(), b"rsa-sha2-256"
    # What the protocol means where nothing is said; only servers of before 2015 need it.
    return hashes.SHA1(), b"ssh-rsa"  # noqa: S303


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _integer(number: int) -> bytes:
    """An `mpint` (RFC 4251 section 5): a leading zero where the highest bit is set."""
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _read(data: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < end:
        raise ValueError("cut off")
    return data[4:end], data[end:]
