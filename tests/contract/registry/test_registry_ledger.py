"""RegistryLedger keeps the ledger's contract on a real registry, with claims in a folder of this machine; and its own
rules.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from flows.domain.credentials import Credential
from flows.domain.ledger import Claim, Reservation, VersionLedger
from flows.domain.version import image_tag, parse_version
from infra.local.claims import FileClaims
from infra.registry import RegistryClient
from infra.registry.ledger import RegistryLedger
from tests.contract.ledger_contract import LedgerContract, Reserver, exactly, minor
from tests.contract.registry.conftest import PASSWORD, USER, Fixed
from tests.images import Pusher


class OneShotTags:
    """The registry's tags, by a client of its own for each question: ledgers of these tests are never closed."""

    def __init__(self, host: str) -> None:
        self._host = host

    async def tags(self, repository: str) -> list[str]:
        credentials = Fixed(Credential(USER, PASSWORD))
        async with RegistryClient(self._host, credentials, insecure=True, ca_file=None) as client:
            return await client.tags(repository)


async def open_ledger(host: str, repository: str, home: str) -> RegistryLedger:
    """How a child process opens a ledger (see LedgerContract)."""
    return RegistryLedger(OneShotTags(host), repository, FileClaims(Path(home), f"{host}/{repository}"))


class RegistryWorld:
    """A repository of a registry, and one machine's home."""

    def __init__(self, host: str, repository: str, pusher: Pusher, home: Path) -> None:
        self.place = [host, repository, str(home)]
        self.home = home
        self._pusher = pusher

    async def ledger(self) -> RegistryLedger:
        return await open_ledger(*self.place)

    def recipe(self) -> tuple[str, str, list[str]]:
        return __name__, "open_ledger", self.place

    async def release(self, version: str) -> None:
        await asyncio.to_thread(self._pusher.image, image_tag(parse_version(version)))

    async def published(self, ledger: VersionLedger, reservation: Reservation) -> None:
        await self.release(str(reservation.version))
        await ledger.publish(reservation)

    def claims(self) -> list[str]:
        return sorted(path.stem for path in (self.home / "claims").rglob("*.claim"))


@pytest.fixture
def world(registry: str, repository: str, pusher: Pusher, tmp_path: Path) -> RegistryWorld:
    return RegistryWorld(registry, repository, pusher, tmp_path)


class TestRegistryLedger(LedgerContract):
    async def test_other_tags_are_no_versions(self, world: RegistryWorld, pusher: Pusher) -> None:
        """Moving tags and names that show no version are passed over; a legal tag's `_` reads as build metadata."""
        pusher.image("1.0.0", "1", "1.0", "latest", "nightly", "v2.0.0", image_tag(parse_version("1.2.0+7")))
        assert sorted(map(str, await (await world.ledger()).versions())) == ["1.0.0", "1.2.0+7"]

    async def test_nothing_is_left_after_publishing_or_giving_back(self, world: RegistryWorld) -> None:
        """The claims' folder holds no claim any more."""
        ledger = await world.ledger()
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        assert world.claims() == ["0.1.0"]
        await ledger.give_back(reservation)
        assert world.claims() == []
        reservation = await ledger.reserve(Claim("two", "a"), minor)
        await world.published(ledger, reservation)
        assert world.claims() == ["0.1.0"]
        await ledger.give_back(reservation)
        assert world.claims() == []

    async def test_an_unreadable_claim_is_dropped(self, world: RegistryWorld) -> None:
        """What a crash cut off in the middle of writing blocks nobody."""
        reserver = Reserver(world, "dead", "same source")
        assert await reserver.version() == "0.1.0"
        reserver.kill()
        for path in (world.home / "claims").rglob("*.claim"):
            path.write_text('{"run": "de')
        reservation = await (await world.ledger()).reserve(Claim("rerun", "same source"), minor)
        assert (str(reservation.version), reservation.resumed) == ("0.1.0", False)

    async def test_repositories_do_not_share_claims(self, world: RegistryWorld) -> None:
        """A version held for one image is free for another."""
        host, repository, home = world.place
        await (await world.ledger()).reserve(Claim("one", "a"), exactly("1.0.0"))
        other = await open_ledger(host, f"{repository}-other", home)
        assert str((await other.reserve(Claim("two", "a"), exactly("1.0.0"))).version) == "1.0.0"
