"""The history of an image's versions: one Prefect table for each image, one row for each release.

Prefect keeps every version of an artifact, and has no way to say "write if nobody else did". So a release writes the
rows it knows and its own, and looks again: what another release wrote in the same moment, from an older table, is in
one of the newest versions, and whoever wrote last has to see it (as with moving tags). The server's events would not
do: they are removed after PREFECT_SERVER_EVENTS_RETENTION_PERIOD, a week if nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from prefect_slipway.flows.reporting.artifact_keys import history_key, older_history_key
from prefect_slipway.flows.reporting.kept_rows import kept_rows

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import Artifact

# A row takes some 300 bytes: the table of an image that is released daily stays below half a megabyte for years. Older
# rows remain in the artifact's earlier versions.
MOST_ROWS = 1000
# Versions of the table that are looked through. A release that was killed between writing and looking again may have
# hidden another's row; it is found in one of these. Not more: a table may have hundreds of kilobytes.
_NEWEST = 3
# What is there usually when a release looks again: its own table, and the one from before.
_SINCE = 2
_PAGE = 200  # the server's limit
_DESCRIPTION = "Releases of "


@dataclass(frozen=True, slots=True)
class PastRelease:
    """One row. `when`: the release's end, RFC 3339 in UTC. `seconds`: how long it took. `trigger`: what started it.

    `steps` 0: nothing was built, an image that an earlier run had pushed was finished.
    """

    version: str
    when: str
    seconds: float
    steps: int
    cached: int
    trigger: str
    digest: str
    revision: str
    run: str

    @property
    def share(self) -> str:
        """The cached share of the steps, for people."""
        return f"{100 * self.cached // self.steps} %" if self.steps else "-"


def merged(*tables: Iterable[PastRelease]) -> list[PastRelease]:
    """All rows, newest first. A release that was finished or found again later keeps its first row."""
    first: dict[tuple[str, str], PastRelease] = {}
    for row in (row for table in tables for row in table):
        known = first.get((row.version, row.digest))
        if known is None or row.when < known.when:
            first[row.version, row.digest] = row
    return sorted(first.values(), key=lambda row: (row.when, row.version), reverse=True)[:MOST_ROWS]


async def read_history(client: PrefectClient, image: str) -> list[PastRelease]:
    """The rows, newest first; none for an image that was never released."""
    return merged(*map(_rows, await _newest(client, image)))


async def images_with_history(client: PrefectClient, most: int = _PAGE) -> list[str]:
    """The images that were released, by name; `most` of them at most."""
    from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
    from prefect.client.schemas.sorting import ArtifactCollectionSort

    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(like_="history-%"))
    found: set[str] = set()
    for offset in range(0, most, _PAGE):
        page = await client.read_latest_artifacts(
            artifact_filter=wanted, sort=ArtifactCollectionSort.KEY_ASC, limit=_PAGE, offset=offset
        )
        found |= {(artifact.description or "").removeprefix(_DESCRIPTION) for artifact in page}
        if len(page) < _PAGE:
            break
    return sorted(found)


async def remember(client: PrefectClient, image: str, *releases: PastRelease) -> list[PastRelease]:
    """Add releases to the image's table, also while others add to it. Returns the table."""
    from prefect.artifacts import TableArtifact

    before = await _newest(client, image)
    looked_at = {version.id for version in before}
    table = merged(*map(_rows, before), releases)
    while True:
        rows = [asdict(row) for row in table]
        await TableArtifact(table=rows, key=history_key(image), description=f"{_DESCRIPTION}{image}").acreate(client)
        since = await _newest(client, image, until=looked_at)
        complete = merged(table, *map(_rows, since))
        if complete == table:
            return table
        looked_at |= {version.id for version in since}
        table = complete


async def rename(client: PrefectClient, before: str, now: str) -> None:
    """Give the history of the image `before` to the image `now` as well."""
    rows = await read_history(client, before)
    if rows:
        await remember(client, now, *rows)


async def _newest(client: PrefectClient, image: str, until: set[UUID] | None = None) -> list[Artifact]:
    """The newest versions of an image's table; all as far back as one that is in `until`, if that is given."""
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    keys = [history_key(image), older_history_key(image)]
    size = _NEWEST if until is None else _SINCE
    found: list[Artifact] = []
    while True:
        page = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=keys)),
            sort=ArtifactSort.CREATED_DESC,
            limit=size,
            offset=len(found),
        )
        found += page
        if until is None or len(page) < size or any(version.id in until for version in page):
            return found


def _rows(version: Artifact) -> list[PastRelease]:
    return kept_rows(PastRelease, version)
