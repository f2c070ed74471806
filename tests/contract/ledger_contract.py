"""What every VersionLedger promises. A folder's test class inherits `LedgerContract` and gives a `world` fixture.

Not collected by itself: the class has no `Test` in its name.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import pytest

from prefect_slipway.infra.domain.errors import VersionError, VersionReserved, VersionTaken
from prefect_slipway.infra.domain.ledger import Claim, Reservation, VersionLedger
from prefect_slipway.infra.domain.version import Bump, Version, next_version, parse_version

DIGEST = f"sha256:{'d' * 64}"

# Run in a child: reserve the next minor version, say which, optionally note a digest, and wait to be killed.
_RESERVER = """
import asyncio, importlib, json, sys
from prefect_slipway.infra.domain.ledger import Claim
from prefect_slipway.infra.domain.version import Bump, next_version

async def main():
    module, function, arguments, run, fingerprint, digest = json.loads(sys.argv[1])
    ledger = await getattr(importlib.import_module(module), function)(*arguments)
    reservation = await ledger.reserve(Claim(run, fingerprint), lambda taken: next_version(taken, Bump.MINOR))
    if digest:
        await ledger.note_digest(reservation, digest)
    print(reservation.version, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


class World(Protocol):
    """One place where versions are kept, and ways to open ledgers over it."""

    async def ledger(self) -> VersionLedger:
        """A ledger as another process on another checkout would open it."""
        ...

    def recipe(self) -> tuple[str, str, list[str]]:
        """Module, async function and arguments by which a child process opens a ledger over the same place."""
        ...

    async def release(self, version: str) -> None:
        """Make a version public without a ledger."""
        ...

    async def published(self, ledger: VersionLedger, reservation: Reservation) -> None:
        """What the release does around `publish`: make the version public, then `ledger.publish`."""
        ...


def minor(taken: Sequence[Version]) -> Version:
    return next_version(list(taken), Bump.MINOR)


def exactly(text: str) -> Callable[[Sequence[Version]], Version]:
    return lambda taken: parse_version(text)


class Reserver:
    """A release in another process."""

    def __init__(self, world: World, run: str, fingerprint: str, digest: str = "") -> None:
        import json

        module, function, arguments = world.recipe()
        values = json.dumps([module, function, arguments, run, fingerprint, digest])
        self.process = subprocess.Popen([sys.executable, "-c", _RESERVER, values], stdout=subprocess.PIPE, text=True)

    async def version(self) -> str:
        """The version it got; waits for it."""
        assert self.process.stdout is not None
        return (await asyncio.to_thread(self.process.stdout.readline)).strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


class LedgerContract:
    async def test_nothing_is_released_at_first(self, world: World) -> None:
        """An empty place has no versions."""
        assert list(await (await world.ledger()).versions()) == []

    async def test_versions_are_those_released(self, world: World) -> None:
        """Every released version is listed, prereleases included; a reservation is not a version."""
        for version in ("1.0.0", "1.1.0-rc.1", "0.9.0"):
            await world.release(version)
        ledger = await world.ledger()
        await ledger.reserve(Claim("run", "source"), minor)
        assert sorted(str(version) for version in await ledger.versions()) == ["0.9.0", "1.0.0", "1.1.0-rc.1"]

    async def test_the_next_release_counts_what_is_reserved(self, world: World) -> None:
        """A version that a living release holds is passed over by the next."""
        first = await (await world.ledger()).reserve(Claim("one", "a"), minor)
        second = await (await world.ledger()).reserve(Claim("two", "b"), minor)
        assert (str(first.version), str(second.version)) == ("0.1.0", "0.2.0")
        assert not first.resumed
        assert not second.resumed

    async def test_a_given_back_version_is_free_again(self, world: World) -> None:
        """A failed release burns no version; giving back twice is fine."""
        ledger = await world.ledger()
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        await ledger.give_back(reservation)
        await ledger.give_back(reservation)
        again = await (await world.ledger()).reserve(Claim("two", "b"), minor)
        assert again.version == reservation.version
        assert not again.resumed

    async def test_a_published_version_is_released(self, world: World) -> None:
        """After publish the version is listed and the next one is free; publishing again is fine."""
        ledger = await world.ledger()
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        reservation = await ledger.note_digest(reservation, DIGEST)
        await world.published(ledger, reservation)
        await ledger.publish(reservation)
        await ledger.give_back(reservation)
        other = await world.ledger()
        assert [str(version) for version in await other.versions()] == ["0.1.0"]
        assert str((await other.reserve(Claim("two", "a"), minor)).version) == "0.2.0"

    async def test_a_released_version_cannot_be_had(self, world: World) -> None:
        """Insisting on a released version is refused, also with other build metadata."""
        await world.release("1.0.0")
        for wanted in ("1.0.0", "1.0.0+build.7"):
            with pytest.raises(VersionTaken):
                await (await world.ledger()).reserve(Claim("one", "a"), exactly(wanted))

    async def test_a_held_version_cannot_be_had(self, world: World) -> None:
        """Insisting on a version that another release holds is refused."""
        await (await world.ledger()).reserve(Claim("one", "a"), exactly("1.0.0"))
        with pytest.raises(VersionReserved):
            await (await world.ledger()).reserve(Claim("two", "b"), exactly("1.0.0"))

    async def test_the_digest_is_noted(self, world: World) -> None:
        """The noted digest is in the reservation that is returned."""
        ledger = await world.ledger()
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        assert (await ledger.note_digest(reservation, DIGEST)).claim == Claim("one", "a", DIGEST)

    async def test_a_reservation_that_is_kept_stands(self, world: World) -> None:
        """Keeping a reservation changes nothing of it: it is held still, and its digest is still noted."""
        ledger = await world.ledger()
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        noted = await ledger.note_digest(reservation, DIGEST)
        await ledger.keep(reservation)
        assert str((await (await world.ledger()).reserve(Claim("two", "b"), minor)).version) == "0.2.0"
        await world.published(ledger, noted)
        await ledger.give_back(noted)
        assert [str(version) for version in await ledger.versions()] == ["0.1.0"]

    async def test_releases_at_one_moment_get_different_versions(self, world: World) -> None:
        """Of eight releases started at the same moment each gets a version of its own, or loses cleanly."""
        ledgers = [await world.ledger() for _ in range(8)]
        attempts = (ledger.reserve(Claim(f"run-{i}", f"source-{i}"), minor) for i, ledger in enumerate(ledgers))
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        won = [str(outcome.version) for outcome in outcomes if isinstance(outcome, Reservation)]
        assert won, outcomes
        assert len(set(won)) == len(won)
        assert all(isinstance(outcome, Reservation | VersionError) for outcome in outcomes), outcomes

    async def test_processes_at_one_moment_get_different_versions(self, world: World) -> None:
        """Releases in different processes, started at the same moment, get different versions."""
        reservers = [Reserver(world, f"run-{i}", f"source-{i}") for i in range(4)]
        try:
            versions = [await reserver.version() for reserver in reservers]
        finally:
            for reserver in reservers:
                reserver.kill()
        assert sorted(versions) == ["0.1.0", "0.2.0", "0.3.0", "0.4.0"]

    async def test_a_killed_release_is_continued_by_its_rerun(self, world: World) -> None:
        """kill -9, then the same source again: the same version, with the digest that was noted, and nothing burnt."""
        reserver = Reserver(world, "dead", "same source", DIGEST)
        version = await reserver.version()
        reserver.kill()
        reservation = await (await world.ledger()).reserve(Claim("rerun", "same source"), minor)
        assert str(reservation.version) == version == "0.1.0"
        assert reservation.resumed
        assert reservation.claim == Claim("rerun", "same source", DIGEST)

    async def test_what_was_left_half_public_is_finished_by_the_next_run(self, world: World) -> None:
        """Its process lives on, but it has stopped: the same source resumes it, digest and all."""
        ledger = await world.ledger()
        reservation = await ledger.note_digest(await ledger.reserve(Claim("one", "a"), minor), DIGEST)
        await ledger.leave(reservation)
        await ledger.leave(reservation)
        again = await (await world.ledger()).reserve(Claim("two", "a"), minor)
        assert (str(again.version), again.resumed, again.claim.digest) == ("0.1.0", True, DIGEST)

    async def test_a_released_version_of_a_killed_release_is_finished(self, world: World) -> None:
        """Killed between the public tag and the end: the rerun gets that version and digest, not the next."""
        reserver = Reserver(world, "dead", "same source", DIGEST)
        version = await reserver.version()
        reserver.kill()
        await world.release(version)
        reservation = await (await world.ledger()).reserve(Claim("rerun", "same source"), minor)
        assert (str(reservation.version), reservation.resumed, reservation.claim.digest) == (version, True, DIGEST)

    async def test_a_version_that_was_released_without_the_dead_run_is_not_continued(self, world: World) -> None:
        """A dead run that had noted no image cannot have made its version public: the next one is taken."""
        reserver = Reserver(world, "dead", "same source")
        version = await reserver.version()
        reserver.kill()
        await world.release(version)
        reservation = await (await world.ledger()).reserve(Claim("rerun", "same source"), minor)
        assert (str(reservation.version), reservation.resumed) == ("0.2.0", False)

    async def test_what_a_killed_release_left_does_not_block_others(self, world: World) -> None:
        """Another source gets the version that a dead release held, without its digest."""
        reserver = Reserver(world, "dead", "old source", DIGEST)
        assert await reserver.version() == "0.1.0"
        reserver.kill()
        reservation = await (await world.ledger()).reserve(Claim("other", "new source"), minor)
        assert str(reservation.version) == "0.1.0"
        assert not reservation.resumed
        assert reservation.claim.digest is None

    async def test_a_living_release_is_not_taken_over(self, world: World) -> None:
        """The same source in a second run, while the first lives, gets a version of its own."""
        reserver = Reserver(world, "alive", "same source")
        try:
            assert await reserver.version() == "0.1.0"
            assert os.getpgid(reserver.process.pid)
            reservation = await (await world.ledger()).reserve(Claim("second", "same source"), minor)
        finally:
            reserver.kill()
        assert str(reservation.version) == "0.2.0"
        assert not reservation.resumed

    async def test_a_dead_release_is_not_continued_under_another_version(self, world: World) -> None:
        """A rerun that asks for another version gets that one, and the leftover is dropped."""
        reserver = Reserver(world, "dead", "same source", DIGEST)
        assert await reserver.version() == "0.1.0"
        reserver.kill()
        ledger = await world.ledger()
        reservation = await ledger.reserve(Claim("rerun", "same source"), exactly("3.0.0"))
        assert str(reservation.version) == "3.0.0"
        assert not reservation.resumed
        assert str((await ledger.reserve(Claim("next", "x"), exactly("0.1.0"))).version) == "0.1.0"

    async def test_a_choice_that_fails_leaves_nothing(self, world: World) -> None:
        """When choosing raises, its error comes through and nothing is reserved."""

        def fail(taken: Sequence[Version]) -> Version:
            raise RuntimeError("cannot choose")

        ledger = await world.ledger()
        with pytest.raises(RuntimeError, match="cannot choose"):
            await ledger.reserve(Claim("one", "a"), fail)
        assert str((await ledger.reserve(Claim("two", "b"), minor)).version) == "0.1.0"
