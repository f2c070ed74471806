"""The place of a secret in Vault, which people write instead of the secret."""

from __future__ import annotations

import re
from dataclasses import dataclass

from prefect_slipway.infra.domain.errors import InvalidOption

SEGMENT = r"[^/\s\x00-\x1f\x7f?#%*+]+"
"""A part of a path of Vault's API that can mean nothing but itself."""
PLACE = rf"vault:{SEGMENT}(?:/{SEGMENT})+"
"""The form of a secret's place, as a regular expression that JSON Schema reads as well."""

_PATH = re.compile(rf"vault:(?P<mount>{SEGMENT})/(?P<path>{SEGMENT}(?:/{SEGMENT})*)")
_FIELD = re.compile(r"[A-Za-z0-9_.-]+")
LOGIN_FIELDS = r"#[A-Za-z0-9_.-]+(?:,user=[A-Za-z0-9_.$+~-]+)?"
"""What may follow the place of a user name and a password."""


@dataclass(frozen=True, slots=True)
class SecretPath:
    """A secret of a KV version 2 mount, written `vault:MOUNT/PATH` without the `data/` of its API; or what an engine
    makes for each reader (`vault:MOUNT/creds/ROLE`).
    """

    mount: str
    path: str

    @classmethod
    def parse(cls, text: str) -> SecretPath:
        """Read `vault:MOUNT/PATH`; MOUNT is the first part. Raises InvalidOption, which does not repeat the text: it
        may be the secret itself.
        """
        match = _PATH.fullmatch(text)
        if match is None or {".", ".."} & set(text.removeprefix("vault:").split("/")):
            raise InvalidOption(
                "a secret's place in Vault is not of the form vault:MOUNT/PATH",
                action="write e.g. vault:secret/team/registry",
            )
        return cls(match["mount"], match["path"])

    def __str__(self) -> str:
        return f"vault:{self.mount}/{self.path}"


@dataclass(frozen=True, slots=True)
class CredentialPath:
    """A user name and a password, written `vault:MOUNT/PATH` for a secret with the fields `username` and `password`, or
    `vault:MOUNT/PATH#FIELD[,user=NAME]` for one with other fields: `field` holds the password, and `user` is the name
    itself, None for the field `username`."""

    secret: SecretPath
    field: str = "password"
    user: str | None = None

    @classmethod
    def parse(cls, text: str) -> CredentialPath:
        """Raises InvalidOption, which does not repeat the text."""
        place, hash_sign, rest = text.partition("#")
        secret = SecretPath.parse(place)
        if not hash_sign:
            return cls(secret)
        if re.fullmatch(LOGIN_FIELDS, f"#{rest}") is None:
            raise InvalidOption(
                "what follows a secret's place in Vault is not of the form #FIELD or #FIELD,user=NAME",
                action="write e.g. vault:secret/team/registry#token,user=robot",
            )
        field, _, user = rest.partition(",user=")
        return cls(secret, field, user or None)

    def __str__(self) -> str:
        if self == CredentialPath(self.secret):
            return str(self.secret)
        return f"{self.secret}#{self.field}" + (f",user={self.user}" if self.user is not None else "")


def split_host(text: str) -> tuple[str | None, str]:
    """Of `HOST=vault:MOUNT/PATH` the host (None if there is none) and the place, which has not been read yet."""
    host, equals, place = text.partition("=")
    return (None, text) if not equals or host.startswith("vault:") else (host, place)


@dataclass(frozen=True, slots=True)
class SecretField:
    """One field of a secret, written `vault:MOUNT/PATH#FIELD`."""

    path: SecretPath
    field: str

    @classmethod
    def parse(cls, text: str) -> SecretField:
        """Raises InvalidOption, which does not repeat the text."""
        place, _, field = text.partition("#")
        if not _FIELD.fullmatch(field):
            raise InvalidOption(
                "a secret's place in Vault does not name a field", action="write e.g. vault:secret/team/app#url"
            )
        return cls(SecretPath.parse(place), field)

    @classmethod
    def of_token(cls, text: str) -> SecretField:
        """The same, or `vault:MOUNT/PATH` for the field `token`. Raises InvalidOption without the text."""
        return cls.parse(text) if "#" in text else cls(SecretPath.parse(text), "token")
