"""RegistryLedger keeps the ledger's contract on a real registry; and its own rules: machines that share nothing but the
registry, registries that are slow, that delete nothing, that never change a tag.
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from prefect_slipway.infra.common.claims import Note
from prefect_slipway.infra.common.processes import Owner, is_alive
from prefect_slipway.infra.domain.errors import RegistryUnavailable, VersionReserved, VersionTaken
from prefect_slipway.infra.domain.ledger import Claim, Reservation, VersionLedger
from prefect_slipway.infra.domain.version import Version, image_tag, parse_version, version_of_tag
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.ledger import RegistryLedger
from prefect_slipway.infra.registry.markers import Markers, new_order
from tests import patient
from tests.contract.ledger_contract import DIGEST, LedgerContract, exactly, minor
from tests.contract.registry.conftest import PASSWORD, USER, client
from tests.faults import Front, front
from tests.images import Pusher
from tests.servers import registry_server
from tests.waiting import calmly_until

_ROUNDS, _MACHINES = 20, 5


def elsewhere(owner: Owner) -> None:
    """What a machine knows of another one's processes."""


async def open_ledger(
    host: str, repository: str, owner_alive: Callable[[Owner], bool | None] = is_alive
) -> RegistryLedger:
    """How a child process opens a ledger (see LedgerContract). Its client is never closed."""
    registry = await client(host, timeout_s=60.0).__aenter__()
    return RegistryLedger([(registry, repository)], owner_alive=owner_alive)


class RegistryWorld:
    """A repository of a registry."""

    def __init__(self, host: str, repository: str, pusher: Pusher) -> None:
        self.place = [host, repository]
        self._pusher = pusher
        self._opened = AsyncExitStack()

    async def close(self) -> None:
        await self._opened.aclose()

    async def machine(self, host: str | None = None, **more: float) -> tuple[RegistryLedger, RegistryClient]:
        """A ledger of a machine that shares nothing with the others but the registry, and its client."""
        registry = await self._opened.enter_async_context(client(host or self.place[0], timeout_s=60.0))
        return RegistryLedger([(registry, self.place[1])], owner_alive=elsewhere, **more), registry

    async def ledger(self) -> RegistryLedger:
        registry = await self._opened.enter_async_context(client(self.place[0]))
        return RegistryLedger([(registry, self.place[1])])

    def recipe(self) -> tuple[str, str, list[str]]:
        return __name__, "open_ledger", self.place

    async def release(self, version: str) -> None:
        await asyncio.to_thread(self._pusher.image, image_tag(parse_version(version)))

    async def published(self, ledger: VersionLedger, reservation: Reservation) -> None:
        await self.release(str(reservation.version))
        await ledger.publish(reservation)

    def tags(self) -> list[str]:
        """All there are, markers too."""
        host, repository = self.place
        answer = patient.get(f"http://{host}/v2/{repository}/tags/list", auth=(USER, PASSWORD))
        return sorted(answer.json().get("tags") or [])

    def markers(self) -> list[str]:
        return [tag for tag in self.tags() if version_of_tag(tag) is None]


@asynccontextmanager
async def a_world(host: str, repository: str) -> AsyncIterator[RegistryWorld]:
    with Pusher(host, repository, (USER, PASSWORD)) as pusher:
        world = RegistryWorld(host, repository, pusher)
        try:
            yield world
        finally:
            await world.close()


@pytest.fixture
async def world(registry: str, repository: str) -> AsyncIterator[RegistryWorld]:
    async with a_world(registry, repository) as world:
        yield world


class TestRegistryLedger(LedgerContract):
    async def test_other_tags_are_no_versions(self, world: RegistryWorld, pusher: Pusher) -> None:
        """Moving tags and names that show no version are passed over; a legal tag's `_` reads as build metadata."""
        pusher.image("1.0.0", "1", "1.0", "latest", "nightly", "v2.0.0", image_tag(parse_version("1.2.0+7")))
        assert sorted(map(str, await (await world.ledger()).versions())) == ["1.0.0", "1.2.0+7"]

    async def test_nothing_is_left_after_publishing_or_giving_back(self, world: RegistryWorld) -> None:
        """No marker is there any more, neither by its tag nor by a digest that it had."""
        ledger, registry = await world.machine()
        markers = Markers(registry, world.place[1])
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        assert len(world.markers()) == 1
        await ledger.give_back(reservation)
        assert world.markers() == []
        reservation = await ledger.reserve(Claim("two", "a"), minor)
        (first,) = (await markers.look())[1]
        reservation = await ledger.note_digest(reservation, DIGEST)
        (second,) = (await markers.look())[1]
        await world.published(ledger, reservation)
        assert len(world.markers()) == 1
        await ledger.give_back(reservation)
        assert world.tags() == ["0.1.0"]
        for digest in (first.digest, second.digest):
            assert await registry.head(world.place[1], digest) is None

    async def test_an_unreadable_marker_blocks_nobody(self, world: RegistryWorld) -> None:
        """What is no reservation, under a tag that looks like one, is left alone."""
        order = new_order()
        _, registry = await world.machine()
        host, repository = world.place
        with Pusher(host, repository, (USER, PASSWORD)) as pusher:
            pusher.image(f"slipway-reservation-{order}")
        reservation = await (await world.ledger()).reserve(Claim("run", "source"), minor)
        assert (str(reservation.version), reservation.resumed) == ("0.1.0", False)
        assert f"slipway-reservation-{order}" in world.markers()
        assert await Markers(registry, repository).read(f"slipway-reservation-{order}") is None

    async def test_repositories_do_not_share_reservations(self, world: RegistryWorld) -> None:
        """A version held for one image is free for another."""
        host, repository = world.place
        await (await world.ledger()).reserve(Claim("one", "a"), exactly("1.0.0"))
        async with a_world(host, f"{repository}-other") as other:
            assert str((await (await other.ledger()).reserve(Claim("two", "b"), exactly("1.0.0"))).version) == "1.0.0"

    async def test_sets_that_share_an_image_share_its_reservations(self, world: RegistryWorld) -> None:
        """A version held for a set is held for each of its images; what ends, ends for all."""
        host, repository = world.place
        async with client(host) as registry:
            both = RegistryLedger([(registry, repository), (registry, f"{repository}-b")], owner_alive=elsewhere)
            others = RegistryLedger([(registry, f"{repository}-b"), (registry, f"{repository}-c")])
            reservation = await both.note_digest(await both.reserve(Claim("one", "a"), minor), DIGEST)
            with pytest.raises(VersionReserved):
                await others.reserve(Claim("two", "b"), exactly("0.1.0"))
            assert str((await others.reserve(Claim("two", "b"), minor)).version) == "0.2.0"
            await both.give_back(reservation)
            assert str((await both.reserve(Claim("three", "c"), exactly("0.1.0"))).version) == "0.1.0"


async def test_five_machines_at_once_get_five_versions(registry: str, repository: str) -> None:
    """Twenty times, through a registry where each write takes another time to arrive: no version twice, none passed
    over, each tag on the image of the release that had it, and no marker left.
    """
    chance = random.Random(4711)
    with front(registry) as slow:
        slow.slow_down("PUT", "/manifests/", lambda: chance.choice([0.0, 0.005, 0.02, 0.1]))
        async with a_world(registry, repository) as world:
            machines = [await world.machine(slow.host, decide_s=10.0, poll_s=0.2) for _ in range(_MACHINES)]
            with Pusher(registry, repository, (USER, PASSWORD)) as pusher:
                images = [pusher.image(labels={"machine": str(number)})["digest"] for number in range(_MACHINES)]

            async def release(number: int, turn: int) -> tuple[str, str]:
                ledger, reg = machines[number]
                reservation = await ledger.reserve(Claim(f"{number}-{turn}", f"source {number}"), minor)
                reservation = await ledger.note_digest(reservation, images[number])
                tag = image_tag(reservation.version)
                assert await reg.head(repository, tag) is None
                named = await reg.put_tag(repository, tag, await reg.manifest(repository, images[number]))
                assert named == images[number]
                await ledger.publish(reservation)
                await ledger.give_back(reservation)
                return tag, images[number]

            released: list[tuple[str, str]] = []
            for turn in range(_ROUNDS):
                released += await asyncio.gather(*(release(number, turn) for number in range(_MACHINES)))
            assert sorted(parse_version(tag) for tag, _ in released) == [
                Version(0, minor_part) for minor_part in range(1, _ROUNDS * _MACHINES + 1)
            ]
            for tag, digest in released:
                found = await machines[0][1].head(repository, tag)
                assert found is not None
                assert found.digest == digest
            assert world.markers() == []


def _held_back(slow: Front) -> tuple[asyncio.Event, threading.Event]:
    """Markers that are written through `slow` are on their way from the first event until the second is set."""
    arriving, decided = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def late() -> float:
        loop.call_soon_threadsafe(arriving.set)
        decided.wait(60)
        return 0.0

    slow.slow_down("PUT", "/manifests/", late)
    return arriving, decided


async def test_a_marker_that_arrives_late_gives_way(world: RegistryWorld) -> None:
    """The earlier release's marker is on its way while a later one looks, finds nobody and has the version: the earlier
    one waits until the later must have decided, and takes the next.
    """
    with front(world.place[0]) as slow:
        arriving, has_decided = _held_back(slow)
        first, _ = await world.machine(slow.host, decide_s=0.5, poll_s=0.02)
        second, _ = await world.machine(decide_s=0.5, poll_s=0.02)
        one = asyncio.create_task(first.reserve(Claim("one", "a"), minor))
        await arriving.wait()
        two = await second.reserve(Claim("two", "b"), minor)
        has_decided.set()
        assert (str(two.version), str((await one).version)) == ("0.1.0", "0.2.0")


async def test_a_registry_slower_than_a_decision_reserves_all_the_same(world: RegistryWorld) -> None:
    """A write takes longer than others wait for a decision: it is said anew, with more time, until it holds."""
    with front(world.place[0]) as slow:
        slow.slow_down("PUT", "/manifests/", lambda: 0.3)
        ledger, _ = await world.machine(slow.host, decide_s=0.1, poll_s=0.02)
        assert str((await ledger.reserve(Claim("one", "a"), minor)).version) == "0.1.0"
    assert len(world.markers()) == 1


@pytest.mark.parametrize("status", [404, 500])
async def test_a_marker_that_cannot_be_read_for_a_moment_is_not_overlooked(world: RegistryWorld, status: int) -> None:
    """Debian's registry empties a tag before it writes it: whoever reads it then is told that it is not there."""
    first, _ = await world.machine()
    await first.reserve(Claim("one", "a"), minor)
    with front(world.place[0]) as torn:
        torn.spoil("GET", "/manifests/slipway-", status, body=b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}', times=3)
        second, _ = await world.machine(torn.host)
        assert str((await second.reserve(Claim("two", "b"), minor)).version) == "0.2.0"


async def test_a_deletion_that_another_write_disturbs_leaves_no_tag(tmp_path: Path, repository: str) -> None:
    """Debian's registry deletes a manifest before it looks for its tags, and fails while any tag is empty, as each is
    in the moment in which it is written: a marker goes as a whole all the same.
    """
    with registry_server(tmp_path, {USER: PASSWORD}) as host, front(host) as watched:
        async with a_world(host, repository) as world:
            ledger, _ = await world.machine(watched.host)
            reservation = await ledger.reserve(Claim("one", "a"), minor)
            (tags,) = tmp_path.rglob("_manifests/tags")
            empty = tags / "1.0.0" / "current" / "link"
            empty.parent.mkdir(parents=True)
            empty.touch()
            going = asyncio.create_task(ledger.give_back(reservation))
            await calmly_until(lambda: [seen.method for seen in watched.seen].count("DELETE") > 1)
            shutil.rmtree(tags / "1.0.0")
            await going
            assert world.tags() == []


async def test_a_lease_ends_by_the_registrys_clock(world: RegistryWorld) -> None:
    """Another machine's reservation that was not kept is free when its time is over: the same source continues it; and
    the one that was taken for dead is told, and takes nothing back.
    """
    first, registry = await world.machine(ttl_s=3.0)
    reservation = await first.note_digest(await first.reserve(Claim("one", "a"), minor), DIGEST)
    second, _ = await world.machine(ttl_s=5.0, decide_s=0.5)
    assert str((await second.reserve(Claim("other", "b"), minor)).version) == "0.2.0"
    ends = registry.now() + 5.0
    while registry.now() < ends:
        await asyncio.sleep(0.05)
    again = await second.reserve(Claim("rerun", "a"), minor)
    assert (str(again.version), again.resumed, again.claim.digest) == ("0.1.0", True, DIGEST)
    with pytest.raises(VersionReserved, match="considered this one dead"):
        await first.note_digest(reservation, DIGEST)
    await first.give_back(reservation)
    await second.keep(again)


async def test_a_lease_that_ran_out_unnoticed_is_taken_up_again(world: RegistryWorld) -> None:
    """A machine that slept, and whose marker was swept away by others who took another version, goes on."""
    first, registry = await world.machine()
    reservation = await first.reserve(Claim("one", "a"), minor)
    for marker in (await Markers(registry, world.place[1]).look())[1]:
        assert await registry.delete(world.place[1], marker.digest)
    noted = await first.note_digest(reservation, DIGEST)
    second, _ = await world.machine()
    assert str((await second.reserve(Claim("two", "b"), minor)).version) == "0.2.0"
    await first.give_back(noted)
    assert len(world.markers()) == 1


async def test_kept_reservations_are_not_left(world: RegistryWorld) -> None:
    """A lease that is renewed lasts beyond its first end."""
    first, registry = await world.machine(ttl_s=3.0)
    reservation = await first.reserve(Claim("one", "a"), minor)
    ends = registry.now() + 5.0
    while registry.now() < ends:
        await first.keep(reservation)
        await asyncio.sleep(0.2)
    second, _ = await world.machine(ttl_s=3.0)
    assert str((await second.reserve(Claim("two", "a"), minor)).version) == "0.2.0"


async def test_a_time_far_away_is_no_lease(world: RegistryWorld) -> None:
    """A marker that claims a version for years does not hold it."""
    _, registry = await world.machine()
    markers = Markers(registry, world.place[1])
    note = Note.now(Version(0, 1, 0), Claim("x", "x"), 1e9)
    await markers.write(f"slipway-reservation-{'0' * 28}", "0" * 28, replace(note, owner=Owner("far", 1, 1)), 1e12)
    ledger, _ = await world.machine()
    assert str((await ledger.reserve(Claim("one", "a"), minor)).version) == "0.1.0"


async def test_a_list_that_never_shows_what_was_written_is_told(world: RegistryWorld) -> None:
    """Tags from a cache that is never refreshed: nobody could see the marker, so nothing is reserved."""
    with front(world.place[0]) as stale, pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefect_slipway.infra.registry.ledger._SHOWS_WITHIN_S", 0.5)
        stale.spoil("GET", "/tags/list", 200, body=b'{"tags": ["1.0.0"]}')
        ledger, _ = await world.machine(stale.host)
        with pytest.raises(RegistryUnavailable, match="not visible"):
            await ledger.reserve(Claim("one", "a"), minor)
    assert world.markers() == []


async def test_a_marker_that_outlives_its_deletion_is_deleted_again(world: RegistryWorld) -> None:
    """Some registries say that a manifest is deleted, and go on showing its tag."""
    with front(world.place[0]) as stubborn:
        stubborn.spoil("DELETE", "/manifests/sha256:", 202, times=2)
        ledger, _ = await world.machine(stubborn.host)
        await ledger.give_back(await ledger.reserve(Claim("one", "a"), minor))
        assert any("/manifests/slipway-" in seen.path for seen in stubborn.seen if seen.method == "DELETE")
    assert world.markers() == []


class TestWhereNothingIsDeleted:
    """A registry that answers DELETE with 405, as Docker Hub and ghcr.io do."""

    @pytest.fixture
    def frozen(self, registry: str) -> Iterator[Front]:
        with front(registry) as frozen:
            frozen.spoil("DELETE", "", 405, body=b'{"errors": [{"code": "UNSUPPORTED"}]}')
            yield frozen

    async def test_what_is_left_holds_nothing(self, world: RegistryWorld, frozen: Front) -> None:
        """A marker that is over shows no version, and blocks neither the next release nor a named version."""
        for number in range(3):
            ledger, _ = await world.machine(frozen.host)
            reservation = await ledger.note_digest(await ledger.reserve(Claim(str(number), "a"), minor), DIGEST)
            assert (str(reservation.version), reservation.resumed) == ("0.1.0", False)
            await ledger.give_back(reservation)
            await ledger.give_back(reservation)
        assert len(world.markers()) == 3
        assert list(await ledger.versions()) == []
        dropped, _ = await world.machine(frozen.host)
        left = await dropped.note_digest(await dropped.reserve(Claim("left", "b"), minor), DIGEST)
        await dropped.leave(left)
        ledger, _ = await world.machine(frozen.host)
        again = await ledger.reserve(Claim("rerun", "b"), minor)
        assert (str(again.version), again.resumed, again.claim.digest) == ("0.1.0", True, DIGEST)
        await ledger.give_back(again)
        assert len(world.markers()) == 5

    async def test_what_is_left_is_bounded(self, world: RegistryWorld, frozen: Front) -> None:
        """Tags that have been over for long enough are used again, so their number does not grow with the releases."""
        counts = []
        for number in range(60):
            ledger, _ = await world.machine(frozen.host, ttl_s=0.01, poll_s=0.01)
            await ledger.give_back(await ledger.reserve(Claim(str(number), "a"), minor))
            counts.append(len(world.markers()))
        # By the registry's clock, which shows seconds: those of the last second are not used again yet.
        assert counts[-1] < 45

    async def test_two_that_use_one_tag_again_notice_it(self, world: RegistryWorld, frozen: Front) -> None:
        """Written over by another release, a marker stands for nothing: the version has to be found out anew."""
        first, registry = await world.machine(frozen.host)
        reservation = await first.reserve(Claim("one", "a"), minor)
        (marker,) = (await Markers(registry, world.place[1]).look())[1]
        note = Note.now(Version(0, 1, 0), Claim("two", "b"), 900, registry.now())
        await Markers(registry, world.place[1]).write(marker.tag, "0" * 28, note, 0.0)
        with pytest.raises(VersionReserved):
            await first.keep(reservation)


async def test_where_no_tag_ever_changes_the_versions_own_decides(world: RegistryWorld) -> None:
    """A registry whose tags are immutable refuses to change a marker: that is no failure, as it guards every tag."""
    with front(world.place[0]) as fixed:
        ledger, _ = await world.machine(fixed.host)
        reservation = await ledger.reserve(Claim("one", "a"), minor)
        fixed.spoil("PUT", "/manifests/slipway-", 409, body=b'{"errors": [{"code": "TAG_INVALID"}]}')
        noted = await ledger.note_digest(reservation, DIGEST)
        await ledger.keep(noted)
        await ledger.give_back(noted)
    assert world.markers() == []


async def test_where_no_tag_ever_changes_each_version_that_is_tried_has_a_marker_of_its_own(
    world: RegistryWorld,
) -> None:
    """A release that gives way says so under another tag."""
    with front(world.place[0]) as slow:
        arriving, has_decided = _held_back(slow)
        first, registry = await world.machine(slow.host, decide_s=0.5, poll_s=0.02)
        second, _ = await world.machine(decide_s=0.5, poll_s=0.02)
        reserving = asyncio.create_task(first.reserve(Claim("one", "a"), minor))
        await arriving.wait()
        await second.reserve(Claim("two", "b"), minor)
        has_decided.set()
        markers = Markers(registry, world.place[1])
        own: list[str] = []
        while not own:
            found = [(marker.tag, marker.note) for marker in (await markers.look())[1]]
            own = [tag for tag, note in found if note is not None and note.claim.run == "one"]
        slow.heal()
        slow.spoil("PUT", f"/manifests/{own[0]}$", 409, body=b'{"errors": [{"code": "TAG_INVALID"}]}')
        assert str((await reserving).version) == "0.2.0"
        notes = [marker.note for marker in (await markers.look())[1] if marker.note is not None]
        assert sorted((note.claim.run, str(note.version)) for note in notes) == [("one", "0.2.0"), ("two", "0.1.0")]


async def test_a_digest_that_is_noted_while_the_lease_is_renewed_is_not_lost(world: RegistryWorld) -> None:
    """The one runs beside the other."""
    ledger, registry = await world.machine()
    reservation = await ledger.reserve(Claim("one", "a"), minor)
    await asyncio.gather(ledger.keep(reservation), ledger.note_digest(reservation, DIGEST), ledger.keep(reservation))
    (marker,) = (await Markers(registry, world.place[1]).look())[1]
    assert marker.note is not None
    assert marker.note.claim.digest == DIGEST


async def test_a_version_that_became_public_while_the_tags_were_listed_is_taken(world: RegistryWorld) -> None:
    """The list is older than another release's tag, whose marker is gone since: a look at the tag itself tells."""
    await world.release("0.1.0")
    with front(world.place[0]) as torn:
        torn.spoil("GET", "/tags/list", 200, body=b'{"tags": []}', times=1)
        ledger, _ = await world.machine(torn.host)
        assert str((await ledger.reserve(Claim("one", "a"), minor)).version) == "0.2.0"
    named, _ = await world.machine()
    with pytest.raises(VersionTaken):
        await named.reserve(Claim("two", "a"), exactly("0.1.0"))


async def test_an_interrupted_reservation_leaves_no_marker(world: RegistryWorld) -> None:
    """Cancelled with its marker up, a release takes it down."""
    with front(world.place[0]) as silent:
        ledger, registry = await world.machine(silent.host)
        await registry.ping()
        silent.spoil("HEAD", "/manifests/0.1.0", hang=True)
        reserving = asyncio.create_task(ledger.reserve(Claim("one", "a"), minor))
        while not any(re.search("/manifests/0.1.0", seen.path) for seen in silent.seen):
            await asyncio.sleep(0.01)
        assert len(world.markers()) == 1
        reserving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reserving
    assert world.markers() == []
