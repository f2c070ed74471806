"""A registry credential and where it comes from. It lives in memory only (design, decision 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn, Protocol


@dataclass(frozen=True, slots=True)
class Credential:
    """User name and password (or token) for one registry or server. The password is never shown nor pickled.

    Without a user name, the password is an identity token, which a registry's token server takes in its place.
    """

    username: str
    password: str = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential must not be stored: pass a reference to it instead")


class CredentialSource(Protocol):
    """Answers with the credential that is valid *now*: asked again at each use, so that a rotation is picked up."""

    async def credential(self, host: str) -> Credential | None:
        """The credential for `host` (`registry.example.com[:port]`, lower case), None for anonymous access.

        Raises a `VaultError` when the place that holds it cannot be read.
        """
        ...


class EitherOf:
    """The first source's credential, else the second's."""

    def __init__(self, first: CredentialSource, second: CredentialSource) -> None:
        self._first = first
        self._second = second

    async def credential(self, host: str) -> Credential | None:
        return await self._first.credential(host) or await self._second.credential(host)


class Anonymous:
    """No credentials at all."""

    async def credential(self, host: str) -> Credential | None:
        return None
