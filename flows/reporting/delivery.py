"""How a team delivers: what Slipway's events and histories say of its releases and deploys, and DORA's four keys.

The four keys as DORA defines them (dora.dev/guides/dora-metrics-four-keys), with what Slipway can see: a *change* is a
version; it is delivered with its first deploy, or with its release where nothing of the team is deployed by Slipway.
A deploy fails when its rollout does, or when a person rolls it back; one that changed nothing does not count. Whoever
may post events to the server can post these, so a payload's values are checked before they count.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from prefect_slipway.flows.reporting import events
from prefect_slipway.flows.reporting.history import PastRelease
from prefect_slipway.infra.domain.errors import SlipwayError
from prefect_slipway.infra.domain.naming import place_title
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.reference import ImageReference

RELEASED, NOT_RELEASED = "released", "release failed"
DEPLOYED, NOT_DEPLOYED = "deployed", "deploy failed"
ROLLED_BACK = "rolled back"
"""By a person."""
RESTORED = "restored"
"""By the deploy that failed."""

_WHAT = {
    events.IMAGE_RELEASED: RELEASED,
    events.RELEASE_FAILED: NOT_RELEASED,
    "deployed": DEPLOYED,
    "failed": NOT_DEPLOYED,
    "rolled back": ROLLED_BACK,
    "restored": RESTORED,
}
MOST_ROWS = 2000
"""For each team; the oldest go first."""
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row: `what` (one of the words above) happened `when` (RFC 3339 in UTC) to an image. `place`: of a deploy, as
    people read it. `committed`: when the released commit was made, RFC 3339. Unknown texts are empty."""

    what: str
    when: str
    image: str
    version: str = ""
    digest: str = ""
    place: str = ""
    seconds: float = 0.0
    run: str = ""
    committed: str = ""

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.when)

    @classmethod
    def of_event(cls, event: str, payload: Mapping[str, Any], occurred: datetime) -> Self | None:
        """None for an event that is about no image, that Slipway did not write, or that says that nothing changed."""
        what = _WHAT.get(events.deploy_outcome(event, payload) or event)
        image = _text(payload.get("image"))
        if what is None or team_of(image) is None:
            return None
        version, digest = _text(payload.get("version")), _text(payload.get("digest"))
        if what == RESTORED:  # the other facts are those of the image that failed
            version, digest = "", _text(payload.get("to")).rpartition("@")[2]
        seconds = payload.get("duration_s")
        return cls(
            what,
            rfc3339(occurred),
            image,
            version,
            digest,
            _place(payload, image),
            float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else 0.0,
            _text(payload.get("run")),
            _moment(payload.get("committed_at")),
        )

    @classmethod
    def of_history(cls, image: str, release: PastRelease) -> Self:
        """The same of an image's history, which is older than what the server keeps of events."""
        return cls(RELEASED, release.when, image, release.version, release.digest, seconds=release.seconds)


@dataclass(frozen=True, slots=True)
class Keys:
    """What happened in a period. Durations are medians in seconds, None without any. `deploys`: those that succeeded at
    first; `rolled_back`: by a person; `changes`: how many `lead_s` is of; `restored`: how many `restore_s` is of."""

    releases: int
    failed_releases: int
    release_s: float | None
    deploys: int
    failed_deploys: int
    rolled_back: int
    lead_s: float | None
    changes: int
    restore_s: float | None
    restored: int

    @property
    def failure_rate(self) -> float | None:
        """The share of deploys that failed or were rolled back; None without any."""
        tried = self.deploys + self.failed_deploys
        return min(1.0, (self.failed_deploys + self.rolled_back) / tried) if tried else None


def team_of(image: str) -> str | None:
    """Whose page an image is on: registry and repository without its last part. None if that is not an image's name."""
    try:
        reference = ImageReference.parse(image)
    except SlipwayError:
        return None
    return reference.name.rpartition("/")[0]


def merged(*tables: Iterable[Delivery]) -> list[Delivery]:
    """All rows, oldest first, each once: events may come twice, and a release is in events and history."""
    known: dict[tuple[str, ...], Delivery] = {}
    for row in sorted((row for table in tables for row in table), key=lambda row: (row.when, row.what)):
        release = row.what == RELEASED
        key = (row.what, row.image, row.version, "" if release else row.place, "" if release else row.run or row.when)
        first = known.setdefault(key, row)
        if row.committed and not first.committed:
            known[key] = replace(first, committed=row.committed)
    return list(known.values())[-MOST_ROWS:]


def keys(rows: Sequence[Delivery], since: datetime) -> Keys:
    """The figures of the period from `since` on. `rows`: oldest first, also those of before."""
    inside = [row for row in rows if row.at >= since]
    released = [row for row in inside if row.what == RELEASED]
    leads = _lead_times(rows, since)
    restored = [seconds for at, seconds in _restored(rows) if at >= since]
    number = Counter(row.what for row in inside)
    return Keys(
        number[RELEASED],
        number[NOT_RELEASED],
        _median([row.seconds for row in released if row.seconds]),
        number[DEPLOYED],
        number[NOT_DEPLOYED],
        number[ROLLED_BACK],
        _median(leads),
        len(leads),
        _median(restored),
        len(restored),
    )


def running(rows: Sequence[Delivery]) -> list[Delivery]:
    """For each place the row that says what runs there; the places in order."""
    versions = {row.digest: row.version for row in rows if row.digest and row.version}
    last = {row.place: row for row in rows if row.place and row.what in {DEPLOYED, ROLLED_BACK, RESTORED}}
    return [replace(row, version=row.version or versions.get(row.digest, "")) for _, row in sorted(last.items())]


def rfc3339(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def as_rows(rows: Iterable[Delivery]) -> list[dict[str, Any]]:
    """For a table."""
    return [asdict(row) for row in rows]


def _lead_times(rows: Sequence[Delivery], since: datetime) -> list[float]:
    """From a version's commit (or its release, if the commit's time is not known) to its first deploy."""
    begun = {(row.image, row.version): row.committed or row.when for row in rows if row.what == RELEASED}
    deployed: dict[tuple[str, str], Delivery] = {}
    for row in rows:
        if row.what == DEPLOYED:
            deployed.setdefault((row.image, row.version), row)
    if not deployed:
        deployed = {(row.image, row.version): row for row in rows if row.what == RELEASED and row.committed}
    found = [(row.at, datetime.fromisoformat(begun[key])) for key, row in deployed.items() if key in begun]
    return [max(timedelta(), end - start).total_seconds() for end, start in found if end >= since]


def _restored(rows: Sequence[Delivery]) -> list[tuple[datetime, float]]:
    """When each failure ended, and how long it had lasted: from a failed deploy, or from the deploy that a person
    rolled back, to what ran well again. A deploy that restored what ran before says so first, and fails afterwards."""
    by_themselves = {row.run for row in rows if row.what == RESTORED and row.run}
    failing: dict[str, datetime] = {}
    since: dict[str, datetime] = {}
    ended = []
    for row in rows:
        if not row.place:
            continue  # the workload was not found, so nothing had changed
        if row.what == NOT_DEPLOYED and row.run not in by_themselves:
            failing.setdefault(row.place, row.at)
        elif row.what in {DEPLOYED, RESTORED, ROLLED_BACK}:
            bad = failing.pop(row.place, since.get(row.place) if row.what == ROLLED_BACK else None)
            if bad is not None:
                ended.append((row.at, (row.at - bad).total_seconds()))
            elif row.what == RESTORED:
                ended.append((row.at, row.seconds))
            since[row.place] = row.at
    return ended


def _place(payload: Mapping[str, Any], image: str) -> str:
    """The workload, or the place in git that somebody follows; "" where neither was found."""
    names = ("workload", "namespace", "context", "container")
    workload, namespace, context, container = (_text(payload.get(name)) for name in names)
    if workload:
        # Several containers of one workload run images of their own.
        besides = container if container != workload.rpartition("/")[2] else None
        return place_title(workload, namespace, context, besides)
    if not isinstance(git := payload.get("git"), Mapping):
        return ""
    # One file has several images.
    return f"{_text(git.get('repository'))} {_text(git.get('path'))} ({image.rpartition('/')[2]})"


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _text(value: object) -> str:
    return one_line(value)[:_LONGEST] if isinstance(value, str) else ""


def _moment(value: object) -> str:
    if not isinstance(value, int | float) or not 0 < value < 1e11:
        return ""
    return rfc3339(datetime.fromtimestamp(value, UTC))
