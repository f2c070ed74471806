"""Versions as the registry's tags show them, reserved under a lock on this machine.

The OCI distribution API has no conditional write, so two machines that share nothing but a registry are kept apart by
the check before the tag is written; on one machine (and one SLIPWAY_HOME) a held claim makes it certain.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, replace
from typing import Protocol

from flows.domain.errors import VersionReserved, VersionTaken
from flows.domain.ledger import Claim, Reservation, would_choose
from flows.domain.version import Version, version_of_tag


class Held(Protocol):
    """A claim held by this process."""

    name: str
    text: str

    def write(self, text: str) -> None: ...

    def remove(self) -> None: ...

    def let_go(self) -> None: ...


class Claims(Protocol):
    """The lock this ledger needs; `infra.local.claims.FileClaims` is one."""

    def exclusive(self) -> AbstractAsyncContextManager[None]: ...

    def survey(self) -> tuple[list[str], Sequence[Held]]: ...

    def take(self, name: str, text: str) -> Held: ...


class Tags(Protocol):
    """What of a registry client this ledger needs."""

    async def tags(self, repository: str) -> list[str]: ...


class RegistryLedger:
    """A VersionLedger over one repository of a registry. Raises the client's RegistryErrors."""

    def __init__(self, registry: Tags, repository: str, claims: Claims) -> None:
        self._registry = registry
        self._repository = repository
        self._claims = claims
        self._held: dict[Version, Held] = {}

    async def versions(self) -> Sequence[Version]:
        tags = await self._registry.tags(self._repository)
        return [version for tag in tags if (version := version_of_tag(tag)) is not None]

    async def reserve(self, claim: Claim, choose: Callable[[Sequence[Version]], Version]) -> Reservation:
        async with self._claims.exclusive():
            # Within the lock: a release that ended a moment ago shows in the tags or still in its claim.
            released = await self.versions()
            living, dead = self._claims.survey()
            reserved = [Version.parse(name) for name in living]
            for leftover in dead:
                resumed = self._resume(leftover, claim, choose, released, reserved)
                if resumed is not None:
                    _remove_all(other for other in dead if other is not leftover)
                    return resumed
            _remove_all(dead)
            version = choose([*released, *reserved])
            if version in released:
                raise VersionTaken(f"the version {version} of {self._repository} is released already")
            if version in reserved:
                raise VersionReserved(f"another release on this machine holds {version} of {self._repository}")
            self._held[version] = self._claims.take(str(version), _as_text(claim))
            return Reservation(version, claim)

    async def note_digest(self, reservation: Reservation, digest: str) -> Reservation:
        claim = replace(reservation.claim, digest=digest)
        self._held[reservation.version].write(_as_text(claim))
        return replace(reservation, claim=claim)

    async def keep(self, reservation: Reservation) -> None:
        """Nothing to do: the kernel knows whether the process that holds the claim is alive."""

    async def publish(self, reservation: Reservation) -> None:
        """Nothing to do: the registry's tag is the public record."""

    async def give_back(self, reservation: Reservation) -> None:
        held = self._held.pop(reservation.version, None)
        if held is not None:
            async with self._claims.exclusive():
                held.remove()

    async def leave(self, reservation: Reservation) -> None:
        held = self._held.pop(reservation.version, None)
        if held is not None:
            held.let_go()

    def _resume(
        self,
        leftover: Held,
        claim: Claim,
        choose: Callable[[Sequence[Version]], Version],
        released: Sequence[Version],
        reserved: Sequence[Version],
    ) -> Reservation | None:
        """Take a dead run's claim over if it is for the same source and this run would choose the same version.

        Its version may be released: by the dead run itself, which then had noted its image's digest before.
        """
        before = _from_text(leftover.text)
        version = Version.parse(leftover.name)
        if before is None or before.fingerprint != claim.fingerprint:
            return None
        if version in released and before.digest is None:
            return None
        known = [other for other in [*released, *reserved] if other != version]
        if str(would_choose(choose, known)) != str(version):
            return None
        continued = replace(claim, digest=before.digest)
        leftover.write(_as_text(continued))
        self._held[version] = leftover
        return Reservation(version, continued, resumed=True)


def _as_text(claim: Claim) -> str:
    return json.dumps(asdict(claim))


def _from_text(text: str) -> Claim | None:
    """None for a text that a crash cut off."""
    try:
        return Claim(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _remove_all(claims: Iterable[Held]) -> None:
    for claim in claims:
        claim.remove()
