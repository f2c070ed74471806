"""DORA's four keys from Slipway's events and histories, and the page that shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_slipway.flows.reporting import events
from prefect_slipway.flows.reporting.dashboard import Dashboard
from prefect_slipway.flows.reporting.delivery import MOST_ROWS, Delivery, as_rows, keys, merged, running, team_of
from prefect_slipway.flows.reporting.history import PastRelease
from prefect_slipway.flows.reporting.kept_rows import kept_row

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MONTH = NOW - timedelta(days=30)
IMAGE = "r.example/team/app"
ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")


def happened(event: str, hours_ago: float, **payload: Any) -> Delivery:
    """A row as an event leaves it; of a deploy to `dev/deployment/app` unless it says otherwise."""
    place = {} if event in {events.IMAGE_RELEASED, events.RELEASE_FAILED} else {"workload": "deployment/app"}
    given = {"image": IMAGE, "namespace": "dev", "run": str(hours_ago), **place, **payload}
    row = Delivery.of_event(event, given, NOW - timedelta(hours=hours_ago))
    assert row is not None
    return row


def released(hours_ago: float, version: str, digest: str, committed_h_ago: float | None = None) -> Delivery:
    committed = (NOW - timedelta(hours=committed_h_ago)).timestamp() if committed_h_ago is not None else None
    payload = {"version": version, "digest": digest, "committed_at": committed, "duration_s": 10 * hours_ago}
    return happened(events.IMAGE_RELEASED, hours_ago, **payload)


def test_the_four_keys() -> None:
    """Two versions, the second of which fails in live and is rolled back by a person in dev."""
    rows = merged(
        [
            released(10, "1.0.0", ONE, committed_h_ago=12),
            happened(events.IMAGE_DEPLOYED, 9, version="1.0.0", digest=ONE),
            happened(events.IMAGE_DEPLOYED, 8, version="1.0.0", digest=ONE, namespace="live"),
            released(6, "1.1.0", TWO),
            happened(events.IMAGE_DEPLOYED, 5, version="1.1.0", digest=TWO),
            happened(events.DEPLOY_FAILED, 4, version="1.1.0", digest=TWO, namespace="live", cause="RolloutCrashed"),
            happened(events.IMAGE_ROLLED_BACK, 3.5, cause="RolloutCrashed", namespace="live", to=f"{IMAGE}@{ONE}"),
            happened(events.IMAGE_ROLLED_BACK, 2, version="1.0.0", digest=ONE),
            happened(events.RELEASE_FAILED, 1, cause="StepFailed"),
        ]
    )
    found = keys(rows, MONTH)
    assert (found.deploys, found.failed_deploys, found.rolled_back, found.failure_rate) == (3, 1, 1, 0.5)
    # 1.0.0 from its commit (12 h ago) to 9 h ago, 1.1.0 from its release (6 h ago) to 5 h ago.
    assert (found.lead_s, found.changes) == (2 * 3600, 2)
    # live from 4 to 3.5 h ago, dev from the deploy that was rolled back (5 h ago) to 2 h ago.
    assert (found.restore_s, found.restored) == (1.75 * 3600, 2)
    assert (found.releases, found.failed_releases, found.release_s) == (2, 1, 80)
    there = {row.place: (row.version, row.digest) for row in running(rows)}
    assert there == {"dev/deployment/app": ("1.0.0", ONE), "live/deployment/app": ("1.0.0", ONE)}


@pytest.mark.parametrize("failed_s_later", [0, 2])
def test_a_deploy_that_restores_what_ran(failed_s_later: float) -> None:
    """It says that it failed after that, maybe in another second: the failure is over then, and not with the next
    deploy a day later. What failed before and stayed lasts until that is restored as well."""
    run = {"namespace": "live", "run": "the run", "version": "1.1.0"}
    back = {**run, "cause": "RolloutCrashed", "to": f"{IMAGE}@{ONE}", "duration_s": 40}
    failed_h_ago = 30 - failed_s_later / 3600
    events_of_both = [
        happened(events.IMAGE_ROLLED_BACK, 30, **back),
        happened(events.DEPLOY_FAILED, failed_h_ago, **run),
        happened(events.IMAGE_DEPLOYED, 2, version="1.2.0", namespace="live"),
    ]
    found = keys(merged(events_of_both), MONTH)
    assert (found.restore_s, found.restored, found.failed_deploys) == (40, 1, 1)
    stayed = happened(events.DEPLOY_FAILED, 31, namespace="live", version="1.1.0")
    found = keys(merged([stayed, *events_of_both]), MONTH)
    assert (found.restore_s, found.restored, found.failed_deploys) == (3600, 1, 2)


def test_a_deploy_that_changed_nothing_did_not_fail() -> None:
    """One that was refused before, or that another one overtook; what stays broken did."""
    outcomes = {"": False, events.NOT_CHANGED: False, "the image stays, because no rollback was requested": True}
    for outcome, counts in outcomes.items():
        payload = {"image": IMAGE, "workload": "deployment/app", "outcome": outcome}
        assert (Delivery.of_event(events.DEPLOY_FAILED, payload, NOW) is not None) == counts


def test_each_container_of_a_workload_runs_its_own_image() -> None:
    rows = merged(
        [
            happened(events.IMAGE_DEPLOYED, 3, version="1.0.0", container="app"),
            happened(events.IMAGE_DEPLOYED, 2, version="2.0.0", container="proxy", image="r.example/team/proxy"),
        ]
    )
    assert {row.place: row.version for row in running(rows)} == {
        "dev/deployment/app": "1.0.0",
        "dev/deployment/app (proxy)": "2.0.0",
    }


def test_a_deploy_by_git_is_one() -> None:
    """Of each image in a file; with a workload it is that one's."""
    place = {"git": {"repository": "forge.example/fleet.git", "path": "live"}, "workload": None, "namespace": None}
    rows = merged(
        [
            happened(events.IMAGE_DEPLOYED, 3, version="1.0.0", **place),
            happened(events.IMAGE_DEPLOYED, 2, version="2.0.0", **{**place, "image": "r.example/team/proxy"}),
            happened(events.IMAGE_DEPLOYED, 1, version="1.0.0", **{**place, "workload": "deployment/app"}),
        ]
    )
    assert [row.place for row in running(rows)] == [
        "deployment/app",
        "forge.example/fleet.git live (app)",
        "forge.example/fleet.git live (proxy)",
    ]
    assert Delivery.of_event(events.IMAGE_DEPLOYED, {"image": IMAGE, "git": "no table"}, NOW) is not None


def test_nothing_is_made_up() -> None:
    """Without deploys there is no failure rate; a change is then delivered by its release, if its commit is known."""
    nothing = keys([], MONTH)
    assert (nothing.failure_rate, nothing.lead_s, nothing.restore_s, nothing.release_s) == (None, None, None, None)
    found = keys(merged([released(2, "1.0.0", ONE, committed_h_ago=5), released(1, "1.1.0", TWO)]), MONTH)
    assert (found.lead_s, found.changes, found.failure_rate) == (3 * 3600, 1, None)
    early = [happened(events.DEPLOY_FAILED, 1, workload=None)]
    assert keys(early, MONTH).restored == 0


def test_what_is_older_than_the_period_counts_where_it_matters() -> None:
    """A version that was released before and deployed since has its whole lead time."""
    rows = merged(
        [released(24 * 40, "1.0.0", ONE), happened(events.IMAGE_DEPLOYED, 24, version="1.0.0", digest=ONE)],
    )
    found = keys(rows, MONTH)
    assert (found.releases, found.deploys, found.lead_s) == (0, 1, 39 * 24 * 3600)


def test_each_thing_counts_once() -> None:
    """An event that came twice, a release in both events and history, rows that an earlier update saved."""
    release = released(2, "1.0.0", ONE, committed_h_ago=3)
    past = PastRelease("1.0.0", "2026-11-26T10:00:01Z", 20.0, 3, 0, "command line", ONE, "", "")
    twice = [happened(events.IMAGE_DEPLOYED, 1, version="1.0.0")] * 2
    rows = merged([Delivery.of_history(IMAGE, past)], [release], twice)
    assert [row.what for row in rows] == ["released", "deployed"]
    assert rows[0].committed == "2026-11-26T09:00:00Z"
    again = merged(filter(None, (kept_row(Delivery, row) for row in as_rows(rows))), rows)
    assert again == rows
    many = [released(hours, f"1.{hours}.0", ONE) for hours in range(MOST_ROWS + 5)]
    kept = merged(many)
    assert len(kept) == MOST_ROWS and kept[-1].version == "1.0.0"


@pytest.mark.parametrize(
    "changed",
    [
        {"when": "yesterday"},
        {"when": "2026-11-26T10:00:00"},
        {"image": 5},
        {"seconds": "long"},
        {"committed": None},
        {"committed": "once"},
    ],
)
def test_a_row_that_somebody_else_wrote_is_none(changed: dict[str, Any]) -> None:
    (row,) = as_rows([released(2, "1.0.0", ONE)])
    assert kept_row(Delivery, row) is not None
    assert kept_row(Delivery, row | changed) is None
    for other in ("text", None, {}, {"when": row["when"]}):
        assert kept_row(Delivery, other) is None


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("slipway.push", {"image": IMAGE}),
        (events.IMAGE_RELEASED, {}),
        (events.IMAGE_RELEASED, {"image": None}),
        (events.IMAGE_RELEASED, {"image": "Not An Image"}),
        (events.IMAGE_RELEASED, {"image": ["r.example/app"]}),
    ],
)
def test_an_event_about_no_image_is_no_row(event: str, payload: dict[str, Any]) -> None:
    """Anybody who reaches the server may post one."""
    assert Delivery.of_event(event, payload, NOW) is None


def test_a_strangers_event_stays_text() -> None:
    """Values of another kind count as unknown; what is text becomes no link, picture or HTML."""
    odd = {"version": "[x](http://evil.invalid)\n# h", "duration_s": "long", "committed_at": 1e300, "digest": 7}
    row = happened(events.IMAGE_RELEASED, 1, **odd)
    assert (row.seconds, row.committed, row.digest) == (0.0, "", "")
    place = happened(events.IMAGE_DEPLOYED, 1, workload="<img src=x>|`", namespace="n" * 5000)
    page = Dashboard("r.example/team", merged([row, place]), NOW, 30).as_markdown()
    assert "\\[x\\](http" in page and "\\<img src=x\\>\\|\\`" in page and "\n# h" not in page
    assert len(page) < 5000


def test_a_team_is_whoever_shares_a_path() -> None:
    assert team_of("r.example/team/app") == "r.example/team"
    assert team_of("127.0.0.1:5000/app") == "127.0.0.1:5000"
    assert team_of("app") == "docker.io/library"


def test_the_page_says_what_people_ask() -> None:
    """Figures with what they are of, each image's last version with a link to its history, and what runs where."""
    rows = merged(
        [
            released(50, "1.0.0", ONE),
            released(6, "1.1.0", TWO),
            happened(events.IMAGE_DEPLOYED, 5, version="1.0.0", digest=ONE, context="east"),
        ]
    )
    page = Dashboard("r.example/team", rows, NOW, 14, "http://ui.example")
    text = page.as_markdown()
    assert text.startswith("# Releases and deploys of r.example/team\n\nThe 14 days until 2026-11-26 12:00 UTC.\n")
    assert "| Deployment frequency | 0.5 a week | 1 deploy |" in text
    assert "| Lead time for changes | 45.0 h | median of 1 version |" in text
    assert "| Time to restore | unknown | median of 0 failures |" in text
    assert "| [team/app](<http://ui.example/artifacts/key/history-r-example-team-app-pss>) | 1.1.0 |" in text
    assert "| dev/deployment/app of east | team/app | 1.0.0 | 2026-11-26 07:00 |" in text
    assert "Nothing was deployed" in Dashboard("r.example/team", rows[:1], NOW, 14).as_markdown()
