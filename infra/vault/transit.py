"""A key in Vault's Transit engine: it signs there, and only its public half leaves Vault.

Source: the API documentation of Vault and OpenBao, page /secret/transit: "Read key", "Sign data", "Update key
configuration" (`min_decryption_version` is the oldest version whose signatures may be verified,
`min_encryption_version` the oldest that may sign).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect_slipway.infra.common.sign_policy import sign_policy
from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.domain.secret_path import SEGMENT
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.vault.answers import says
from prefect_slipway.infra.vault.session import VaultSession

# A key's name: Vault's framework.GenericNameRegex. It has no slash, so what comes before it is the mount.
_PATH = re.compile(rf"vault:(?P<mount>{SEGMENT}(?:/{SEGMENT})*)/(?P<key>\w(?:[\w.-]*\w)?)", re.ASCII)
_SIGNATURE = re.compile(r"vault:v(?P<version>[0-9]+):(?P<signature>[A-Za-z0-9+/=]+)")

# What each type of key takes beside the input. SHA-256 for P-384 as well: verifiers that are given nothing but a public
# key expect it. ECDSA and RSA sign a digest, so that the message need not travel; Ed25519 needs the message itself.
_ECDSA = {"hash_algorithm": "sha2-256", "prehashed": True, "marshaling_algorithm": "asn1"}
_RSA = {"hash_algorithm": "sha2-256", "prehashed": True, "signature_algorithm": "pkcs1v15"}
_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "ecdsa-p256": _ECDSA,
    "ecdsa-p384": _ECDSA,
    "ed25519": {},
    "rsa-2048": _RSA,
    "rsa-3072": _RSA,
    "rsa-4096": _RSA,
}

# Vault answers these with the statuses 400, 404, 413 and 500.
_SAID: tuple[tuple[str, type[errors.VaultError], str, str | None], ...] = (
    ("no handler for route", errors.TransitMissing, "nothing is mounted there", None),
    ("signing key not found", errors.SigningKeyMissing, "the engine has no such key", None),
    (
        "soft-deleted key",
        errors.SigningKeyMissing,
        "the key is soft-deleted",
        "restore it (MOUNT/keys/KEY/soft-delete-restore)",
    ),
    ("version for signing", errors.KeyVersionRefused, "Vault does not sign with this version of the key", None),
    (
        "request body too large",
        errors.SigningKeyUnsuitable,
        "an Ed25519 key signs the whole message, and this one is larger than Vault accepts",
        "sign with a key of another type, e.g. ecdsa-p256",
    ),
)


@dataclass(frozen=True, slots=True)
class TransitPath:
    """A key of a Transit engine, written `vault:MOUNT/KEY`; only the mount may have further slashes."""

    mount: str
    key: str

    @classmethod
    def parse(cls, text: str) -> TransitPath:
        """Raises InvalidOption."""
        match = _PATH.fullmatch(text)
        # A quotation mark or a backslash would mean something else in a policy.
        if match is None or {".", ".."} & set(match["mount"].split("/")) or set('"\\') & set(match["mount"]):
            raise errors.InvalidOption(
                "a signing key's place in Vault is not of the form vault:MOUNT/KEY",
                action="write e.g. vault:transit/release",
            )
        return cls(match["mount"], match["key"])

    @property
    def policy(self) -> str:
        """The smallest policy for signing, in HCL."""
        return sign_policy(self.mount, self.key)

    def __str__(self) -> str:
        return f"vault:{self.mount}/{self.key}"


@dataclass(frozen=True, slots=True)
class _Key:
    """As Vault describes it. `versions`: those whose signatures may be verified. `oldest`: that may sign."""

    kind: str
    versions: Mapping[int, PublicKey]
    oldest: int


class TransitKey:
    """A Signer over one version of a key, and the key's public halves. All methods raise VaultErrors.

    `version`: that signs, None for the newest at the first use; a later rotation does not change it.
    """

    def __init__(self, session: VaultSession, path: TransitPath, *, version: int | None = None) -> None:
        self.path = path
        self._session = session
        self._wanted = version
        self._pinned: tuple[str, PublicKey] | None = None
        self._pinning = asyncio.Lock()

    async def public_keys(self) -> tuple[PublicKey, ...]:
        """All versions whose signatures may be verified, the newest first; read again at each call.

        Those below the key's `min_decryption_version` are not among them: that is how a version is revoked.
        """
        versions = (await self._read()).versions
        return tuple(versions[version] for version in sorted(versions, reverse=True))

    async def public_key(self) -> PublicKey:
        """The version that signs. Raises KeyVersionRefused."""
        return (await self._pin())[1]

    async def sign(self, message: bytes) -> bytes:
        kind, key = await self._pin()
        parameters = _PARAMETERS[kind]
        signed = hashlib.sha256(message).digest() if parameters.get("prehashed") else message
        doing = f"signing with {self.path}"
        body = {"input": base64.b64encode(signed).decode("ascii"), "key_version": key.version, **parameters}
        data = await self._request("POST", "sign", doing, body)
        match = _SIGNATURE.fullmatch(str(data.get("signature")))
        if match is None or int(match["version"]) != key.version:
            raise errors.VaultProtocolError(f"{doing}: Vault's answer contains no signature by version {key.version}")
        return base64.b64decode(match["signature"])

    async def _pin(self) -> tuple[str, PublicKey]:
        async with self._pinning:
            if self._pinned is None:
                key = await self._read()
                version = self._wanted if self._wanted is not None else max(key.versions, default=0)
                if version not in key.versions or version < key.oldest:
                    may = ", ".join(str(each) for each in sorted(key.versions) if each >= key.oldest) or "none"
                    raise errors.KeyVersionRefused(
                        f"version {version} of {self.path} does not exist or must not sign; usable versions: {may}"
                    )
                self._pinned = key.kind, key.versions[version]
            return self._pinned

    async def _read(self) -> _Key:
        doing = f"reading the public key of {self.path}"
        data = await self._request("GET", "keys", doing)
        kind = str(data.get("type"))
        if kind not in _PARAMETERS or data.get("derived"):
            await self._check_mount(doing)
            derived = " with key derivation" if data.get("derived") else ""
            raise errors.SigningKeyUnsuitable(f"{self.path} is a key of the type {kind}{derived}")
        if data.get("soft_deleted"):
            raise errors.SigningKeyMissing(
                f"{self.path} is soft-deleted",
                action=f"restore it ({self.path.mount}/keys/{self.path.key}/soft-delete-restore)",
            )
        try:
            oldest = int(data["min_decryption_version"])
            versions = {
                int(version): _public_key(str(self.path), int(version), entry["public_key"])
                for version, entry in data["keys"].items()
                if int(version) >= oldest
            }
            return _Key(kind, versions, int(data.get("min_encryption_version") or 0))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise errors.VaultProtocolError(f"{doing}: Vault's answer contains no public key") from error

    async def _request(
        self, method: str, operation: str, doing: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            return await self._session.request(
                method, f"{self.path.mount}/{operation}/{self.path.key}", body, doing=doing
            )
        except errors.VaultDenied as error:
            raise errors.VaultDenied(
                error.cause,
                action="check the mount and the key, and give the role a policy with these rules",
                details=self.path.policy,
            ) from error
        except errors.VaultError as error:
            for phrase, cause, what, action in _SAID:
                if says(error, phrase):
                    raise cause(f"{doing}: {what}", action=action) from error
            if isinstance(error, errors.SecretMissing):
                await self._check_mount(doing)
                raise errors.SigningKeyMissing(f"{doing}: the engine has no such key") from error
            raise

    async def _check_mount(self, doing: str) -> None:
        """Raise TransitMissing if another engine is mounted there, as far as Vault tells."""
        path = f"sys/internal/ui/mounts/{self.path.mount}/keys/{self.path.key}"
        try:
            kind = (await self._session.request("GET", path, doing="looking up the mount")).get("type")
        except errors.VaultError:
            return
        if kind != "transit":
            raise errors.TransitMissing(f"{doing}: the mount {self.path.mount!r} is an engine of the type {kind}")


def _public_key(name: str, version: int, text: str) -> PublicKey:
    """PEM for ECDSA and RSA; of an Ed25519 key Vault gives its bare 32 bytes in base64. Raises ValueError."""
    if text.startswith("-----BEGIN"):
        return PublicKey.from_pem(name, text, version)
    return PublicKey.from_ed25519(name, text, version)
