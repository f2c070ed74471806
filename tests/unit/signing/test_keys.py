from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidKey, SignatureInvalid, UntrustedKey
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.signing.keys import TrustedKeys, read_public_keys
from tests.signers import KEY_TYPES, LocalSigner


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_a_key_of_each_type_verifies_what_it_signed(kind: str) -> None:
    """And nothing else: other bytes, another key's signature, a cut one, none."""
    signer, other = LocalSigner(kind), LocalSigner(kind)
    trusted = TrustedKeys([signer.key])
    signature = signer.sign_now(b"message")
    assert trusted.verify(b"message", signature) == signer.key
    assert trusted.verify(b"message", signature, hint=signer.key.hint) == signer.key
    for message, wrong in (
        (b"massage", signature),
        (b"message", other.sign_now(b"message")),
        (b"message", signature[:-1]),
        (b"message", b""),
        (b"", signature),
    ):
        with pytest.raises(UntrustedKey):
            trusted.verify(message, wrong)
        with pytest.raises(SignatureInvalid):
            trusted.verify(message, wrong, hint=signer.key.hint)


def test_the_key_that_signed_is_found_among_several() -> None:
    """Of whatever types; a hint that nobody knows changes nothing."""
    signers = [LocalSigner(kind) for kind in ("rsa-2048", "ed25519", "ecdsa-p256", "ecdsa-p384", "ed25519")]
    trusted = TrustedKeys(signer.key for signer in signers)
    for signer in signers:
        for hint in ("", signer.key.hint, "some name"):
            assert trusted.verify(b"m", signer.sign_now(b"m"), hint=hint) == signer.key
    stranger = LocalSigner("ed25519")
    with pytest.raises(UntrustedKey) as caught:
        trusted.verify(b"m", stranger.sign_now(b"m"), hint=stranger.key.hint)
    assert all(signer.key.fingerprint[:12] in caught.value.cause for signer in signers)


def test_openssl_reads_what_we_write(tmp_path: Path) -> None:
    """PEM and the fingerprint, of each type."""
    for kind in KEY_TYPES:
        key = LocalSigner(kind).key
        path = tmp_path / "key.pem"
        path.write_text(key.pem)
        command = ["openssl", "pkey", "-pubin", "-in", str(path), "-outform", "DER"]
        der = subprocess.run(command, capture_output=True, check=True).stdout
        assert der == key.spki
        assert key.fingerprint == hashlib.sha256(der).hexdigest()
        assert base64.b64decode(key.hint) == hashlib.sha256(der).digest()


def test_a_file_may_hold_several_keys() -> None:
    """With text around them, as `cat a.pub b.pub` or a comment leave it; they come back in their order."""
    keys = [LocalSigner(kind).key for kind in KEY_TYPES]
    text = "# newest first\r\n" + "\r\n".join(key.pem.replace("\n", "\r\n") for key in keys)
    found = read_public_keys(text, "keys.pem")
    assert [key.spki for key in found] == [key.spki for key in keys]
    assert {key.name for key in found} == {"keys.pem"}
    assert "".join(key.pem for key in found) == "".join(key.pem for key in keys)


def pem_of(public: dsa.DSAPublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey | x25519.X25519PublicKey) -> str:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "contains no public key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@example", "contains no public key"),
        ("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQ", "contains no public key"),
        ("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQ\n-----END PUBLIC KEY-----\n", "truncated or not PEM"),
        ("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQ==\n-----END PUBLIC KEY-----\n", "not a public key"),
        ("-----BEGIN PUBLIC KEY-----\n\n-----END PUBLIC KEY-----\n", "not"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "'CERTIFICATE'"),
        (LocalSigner().private_pem, "a private key"),
        (
            "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nx\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----",
            "a private key",
        ),
        (pem_of(rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()), "of a type or size"),
        (pem_of(ec.generate_private_key(ec.SECP521R1()).public_key()), "of a type or size"),
        (pem_of(ec.generate_private_key(ec.SECP256K1()).public_key()), "of a type or size"),
        (pem_of(x25519.X25519PrivateKey.generate().public_key()), "of a type or size"),
        (pem_of(dsa.generate_private_key(1024).public_key()), "of a type or size"),
    ],
    # The keys are new in each process, and pytest's would have other names for the same tests.
    ids=[
        *("nothing", "OpenSSH", "a beginning", "truncated", "no structure", "an empty block", "a certificate"),
        *("private", "private and encrypted", "RSA 1024", "P-521", "secp256k1", "X25519", "DSA"),
    ],
)
def test_what_is_no_key_for_signatures_is_refused(text: str, said: str) -> None:
    """The cause says what the file holds, and nothing of it."""
    with pytest.raises(InvalidKey, match=said) as caught:
        read_public_keys(text, "a/key.pem")
    assert "a/key.pem" in str(caught.value)
    assert "MIG" not in str(caught.value)
    assert caught.value.exit_code == 2


@given(st.text(max_size=60), st.text(alphabet="ABab01+/=\n ", max_size=60))
def test_any_text_is_read_or_refused(before: str, body: str) -> None:
    """Nothing but InvalidKey."""
    with pytest.raises(InvalidKey):
        read_public_keys(f"{before}-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----", "k")


def test_without_a_key_nothing_is_trusted() -> None:
    """An empty list is a mistake, not a rule that all signatures fulfil."""
    with pytest.raises(InvalidKey):
        TrustedKeys([])


@pytest.mark.parametrize("raw", ["", "AAAA", "A" * 44, "!" * 44])
def test_an_ed25519_key_has_32_bytes(raw: str) -> None:
    """What Vault gives of one."""
    with pytest.raises(ValueError, match=r"bytes|base64|padding|characters"):
        PublicKey.from_ed25519("k", raw)


def test_a_key_is_shown_by_name_version_and_fingerprint() -> None:
    key = PublicKey("vault:transit/release", b"der", 3)
    assert str(key) == f"vault:transit/release version 3 (sha256:{hashlib.sha256(b'der').hexdigest()[:12]})"
    assert "der" not in repr(key)
