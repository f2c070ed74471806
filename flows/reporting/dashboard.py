"""A team's dashboard in Prefect: one Markdown artifact a team, with a key that stays, and a table with its data.

It is written from outside of releases and deploys (`slipway dashboard`, or the deployment of that name on a schedule),
so it neither delays one nor fails it. The server keeps events for a week by default: the table carries what they said
from one update to the next.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact
from prefect.client.schemas.sorting import ArtifactSort
from prefect.context import FlowRunContext
from prefect.events import ReceivedEvent
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventOrder

from prefect_slipway.flows.reporting import events, markdown
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.delivery import (
    RELEASED,
    Delivery,
    Keys,
    as_rows,
    keys,
    merged,
    running,
    team_of,
)
from prefect_slipway.flows.reporting.history import images_with_history, read_history
from prefect_slipway.flows.reporting.kept_rows import kept_rows
from prefect_slipway.flows.reporting.links import history_link
from prefect_slipway.infra.domain.naming import image_title
from prefect_slipway.infra.domain.reference import ImageReference

_EVENTS = (
    events.IMAGE_RELEASED,
    events.RELEASE_FAILED,
    events.IMAGE_DEPLOYED,
    events.DEPLOY_FAILED,
    events.IMAGE_ROLLED_BACK,
)
_PAGE = 50  # the server's limit
_MOST_PAGES = 100
_MOST_IMAGES = 10_000


@dataclass(frozen=True)
class Dashboard:
    """What a team has done in the last `days` until `now`. `rows`: oldest first, also older ones."""

    team: str
    rows: Sequence[Delivery]
    now: datetime
    days: int
    ui_url: str | None = None

    @property
    def key(self) -> str:
        """Of the artifact."""
        return key_of("dashboard", self.team)

    @property
    def figures(self) -> Keys:
        return keys(self.rows, self.now - timedelta(days=self.days))

    def facts(self) -> list[tuple[str, str, str]]:
        """Measure, value and what it is of."""
        found = self.figures
        weeks = self.days / 7
        rate = found.failure_rate
        return [
            ("Deployment frequency", _per_week(found.deploys, weeks), _count(found.deploys, "deploy")),
            ("Lead time for changes", _duration(found.lead_s), f"median of {_count(found.changes, 'version')}"),
            (
                "Change failure rate",
                "no deploys" if rate is None else f"{100 * rate:.0f} %",
                f"{found.failed_deploys} failed, {found.rolled_back} rolled back",
            ),
            ("Time to restore", _duration(found.restore_s), f"median of {_count(found.restored, 'failure')}"),
            (
                "Releases",
                _per_week(found.releases, weeks),
                f"{_count(found.releases, 'release')}, and {found.failed_releases} failed",
            ),
            ("Release duration", _duration(found.release_s), "median"),
        ]

    def images(self) -> list[tuple[str, Delivery, str]]:
        """Each image, its last release, and where it runs in which version."""
        last = {row.image: row for row in self.rows if row.what == RELEASED}
        places: dict[str, list[str]] = defaultdict(list)
        for row in running(self.rows):
            places[row.image].append(f"{row.place}: {row.version or row.digest[:19] or 'unknown'}")
        return [(image, row, ", ".join(places[image])) for image, row in sorted(last.items())]

    def as_markdown(self) -> str:
        title = f"# Releases and deploys of {markdown.text(self.team)}"
        lines = [title, "", f"The {self.days} days until {self.now:%Y-%m-%d %H:%M} UTC.", ""]
        shown = [[markdown.text(cell) for cell in fact] for fact in self.facts()]
        lines += [*markdown.table([["measure", "value", "of"], *shown]), "", "## Images", ""]
        rows = [["image", "last version", "released", "runs in"]]
        for image, release, places in self.images():
            link = history_link(ImageReference.parse(image), self.ui_url)
            title = image_title(image)
            rows.append(
                [
                    markdown.link(title, link.url) if link is not None else markdown.text(title),
                    markdown.text(release.version),
                    _day(release),
                    markdown.text(places or "-"),
                ]
            )
        lines += [*markdown.table(rows), "", "## Deployed", ""]
        there = running(self.rows)
        if there:
            table = [["workload", "image", "version", "since"]]
            for row in there:
                version = row.version or row.digest[:19] or "unknown"
                cells = (row.place, image_title(row.image), version)
                table.append([*map(markdown.text, cells), _day(row)])
            lines += markdown.table(table)
        else:
            lines.append("Nothing was deployed with Slipway yet.")
        return "\n".join(lines) + "\n"


async def update_dashboards(
    client: PrefectClient, now: datetime, days: int, ui_url: str | None
) -> list[tuple[Dashboard, str | None]]:
    """Write each team's dashboard, in place; all with their pages' addresses, None where no UI is known."""
    found: dict[str, list[Delivery]] = defaultdict(list)
    for event in await _events(client, now - timedelta(days=days)):
        row = Delivery.of_event(event.event, event.payload, event.occurred)
        if row is not None and (team := team_of(row.image)) is not None:
            found[team].append(row)
    for image in await images_with_history(client, most=_MOST_IMAGES):
        if (team := team_of(image)) is not None:
            found[team] += [Delivery.of_history(image, row) for row in await read_history(client, image)]
    made = []
    for team, rows in sorted(found.items()):
        data_key = key_of("dashboard-data", team)
        saved = await _newest(client, data_key)
        table = merged(kept_rows(Delivery, saved), rows)
        await _write(client, saved, "table", data_key, f"Data of the dashboard of {team}", json.dumps(as_rows(table)))
        page = Dashboard(team, table, now, days, ui_url)
        shown = await _newest(client, page.key)
        written = await _write(client, shown, "markdown", page.key, f"Dashboard of {team}", page.as_markdown())
        made.append((page, f"{ui_url.rstrip('/')}/artifacts/artifact/{written}" if ui_url else None))
    return made


async def _events(client: PrefectClient, since: datetime) -> list[ReceivedEvent]:
    """The newest ones of these kinds."""
    wanted = EventFilter(
        occurred=EventOccurredFilter(since=since), event=EventNameFilter(name=list(_EVENTS)), order=EventOrder.DESC
    )
    page = await client.read_events(wanted, limit=_PAGE)
    found = list(page.events)
    for _ in range(_MOST_PAGES - 1):
        following = await page.get_next_page(client)
        if following is None:
            break
        page = following
        found += page.events
    return found


async def _newest(client: PrefectClient, key: str) -> Artifact | None:
    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC, limit=1
    )
    return found[0] if found else None


async def _write(
    client: PrefectClient, known: Artifact | None, kind: str, key: str, description: str, data: str
) -> UUID:
    """The artifact's id. It is changed in place: the page keeps its address, and no versions pile up."""
    # Not by the client's own methods: they tell Prefect's events about it, for which a command would wait at its end.
    if known is not None:
        await client.request("PATCH", "/artifacts/{id}", path_params={"id": known.id}, json={"data": data})
        return known.id
    context = FlowRunContext.get()
    run = str(context.flow_run.id) if context is not None and context.flow_run is not None else None
    wanted = {"type": kind, "key": key, "description": markdown.text(description), "data": data, "flow_run_id": run}
    return UUID((await client.request("POST", "/artifacts/", json=wanted)).json()["id"])


def _per_week(count: int, weeks: float) -> str:
    return f"{count / weeks:.1f} a week" if count else "none"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _day(row: Delivery) -> str:
    return f"{row.at:%Y-%m-%d %H:%M}"
