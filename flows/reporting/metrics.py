"""Slipway's events as Prometheus metrics.

Runs are processes that end, so nobody can scrape them: one exporter that lives on counts what the Prefect server was
told (`slipway metrics`). Durations are in seconds, as Prometheus wants base units. No label takes more values than it
is allowed to: what comes after them is counted as `other`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from prefect_slipway.flows.reporting import events

MOST_IMAGES = 500
MOST_CAUSES = 150
MOST_STEPS = 50
OTHER = "other"
# A cached release takes a second or two, a long one an hour.
_RUN_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_STEP_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class Metrics:
    """Counts events in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._images, self._causes, self._steps = _Values(MOST_IMAGES), _Values(MOST_CAUSES), _Values(MOST_STEPS)
        self._releases = Counter("slipway_releases", "Releases that ended", ["image", "outcome"], registry=registry)
        self._failures = Counter(
            "slipway_release_failures", "Releases that failed, by named cause", ["cause"], registry=registry
        )
        self._durations = Histogram(
            "slipway_release_duration_seconds",
            "Duration of a release, from its start to its end",
            ["outcome"],
            buckets=_RUN_BUCKETS,
            registry=registry,
        )
        self._step_durations = Histogram(
            "slipway_step_duration_seconds",
            "Duration of each step of a release, including retries",
            ["step"],
            buckets=_STEP_BUCKETS,
            registry=registry,
        )
        self._build_steps = Counter(
            "slipway_build_steps",
            "Steps of the Dockerfiles, by whether they were cached",
            ["cached"],
            registry=registry,
        )
        self._deploys = Counter(
            "slipway_deploys",
            "Deploys that ended: deployed, failed, refused (nothing changed), rolled back (by a person), restored (by "
            "the deploy that failed)",
            ["image", "outcome"],
            registry=registry,
        )
        self._swept = Counter("slipway_swept_objects", "Objects in a cluster that the sweep removed", registry=registry)
        self._pushes = Counter("slipway_pushes", "Pushes that the relay accepted", registry=registry)
        self._up = Gauge(
            "slipway_prefect_up", "Whether the Prefect server answered the last request", registry=registry
        )
        self.is_up: bool | None = None
        """Whether the Prefect server answered the last request, None before the first."""

    def heard(self, answered: bool) -> None:
        """Note whether the server answered."""
        self.is_up = answered
        self._up.set(answered)

    def count(self, event: str, payload: Mapping[str, Any]) -> None:
        """Count an event; others than Slipway's, and those of later versions, are ignored."""
        image = self._images.bounded(payload.get("image"))
        match event:
            case events.IMAGE_RELEASED:
                self._releases.labels(image, "released").inc()
                self._count_run("released", payload)
                steps, cached = _number(payload.get("steps")), _number(payload.get("cached_steps"))
                self._build_steps.labels("true").inc(cached)
                self._build_steps.labels("false").inc(max(0.0, steps - cached))
            case events.RELEASE_FAILED:
                self._releases.labels(image, "failed").inc()
                self._failures.labels(self._causes.bounded(payload.get("cause"))).inc()
                self._count_run("failed", payload)
            case events.IMAGE_DEPLOYED | events.DEPLOY_FAILED | events.IMAGE_ROLLED_BACK:
                self._deploys.labels(image, events.deploy_outcome(event, payload)).inc()
            case events.SWEPT:
                self._swept.inc(_number(payload.get("count")))
            case events.PUSHED:
                self._pushes.inc()

    def _count_run(self, outcome: str, payload: Mapping[str, Any]) -> None:
        self._durations.labels(outcome).observe(_number(payload.get("duration_s")))
        steps = payload.get("steps_s")
        for step, seconds in steps.items() if isinstance(steps, Mapping) else ():
            self._step_durations.labels(self._steps.bounded(step)).observe(_number(seconds))


class _Values:
    """The values of a label: the first `most` that come, then `other`. Anybody may post an event to the server."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def bounded(self, value: object) -> str:
        if not isinstance(value, str) or len(value) > 200:
            return OTHER
        if value not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and value >= 0 else 0.0
