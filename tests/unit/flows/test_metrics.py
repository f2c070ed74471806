"""Metrics: events become counts and durations, and nobody's events make the number of series grow."""

import pytest
from prometheus_client import generate_latest

from prefect_slipway.flows.reporting import metrics as metrics_module
from prefect_slipway.flows.reporting.events import (
    DEPLOY_FAILED,
    IMAGE_DEPLOYED,
    IMAGE_RELEASED,
    IMAGE_ROLLED_BACK,
    NOT_CHANGED,
    PUSHED,
    RELEASE_FAILED,
    SWEPT,
)
from prefect_slipway.flows.reporting.metrics import Metrics

RELEASED = {
    "image": "r.example/app",
    "duration_s": 12.0,
    "steps_s": {"build and push": 9.0, "verify": 0.1},
    "steps": 4,
    "cached_steps": 3,
}


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_release_is_counted_with_its_durations_and_steps() -> None:
    """By image and outcome, each step by itself, the Dockerfile's steps by whether the cache had them."""
    metrics = Metrics()
    metrics.count(IMAGE_RELEASED, RELEASED)
    metrics.count(IMAGE_RELEASED, {**RELEASED, "duration_s": 3.0})
    assert _value(metrics, "slipway_releases_total", image="r.example/app", outcome="released") == 2
    assert _value(metrics, "slipway_release_duration_seconds_sum", outcome="released") == 15.0
    assert _value(metrics, "slipway_release_duration_seconds_bucket", outcome="released", le="5.0") == 1
    assert _value(metrics, "slipway_step_duration_seconds_sum", step="build and push") == 18.0
    assert _value(metrics, "slipway_build_steps_total", cached="true") == 6
    assert _value(metrics, "slipway_build_steps_total", cached="false") == 2


def test_a_failure_is_counted_by_its_cause() -> None:
    """One that came before the image was known, too."""
    metrics = Metrics()
    metrics.count(RELEASE_FAILED, {"image": None, "cause": "SourceMissing", "duration_s": 0.5})
    assert _value(metrics, "slipway_release_failures_total", cause="SourceMissing") == 1
    assert _value(metrics, "slipway_releases_total", image="other", outcome="failed") == 1


def test_deploys_sweeps_and_pushes_are_counted() -> None:
    """Each by what became of it."""
    metrics = Metrics()
    for event, payload in (
        (IMAGE_DEPLOYED, {}),
        (DEPLOY_FAILED, {"outcome": "the image stays, because no rollback was requested"}),
        (DEPLOY_FAILED, {"outcome": [""]}),
        (DEPLOY_FAILED, {"outcome": ""}),
        (DEPLOY_FAILED, {"outcome": NOT_CHANGED}),
        (IMAGE_ROLLED_BACK, {}),
        (IMAGE_ROLLED_BACK, {"cause": "RolloutCrashed"}),
    ):
        metrics.count(event, {"image": "r.example/app", **payload})
    metrics.count(SWEPT, {"count": 7})
    metrics.count(PUSHED, {})
    for outcome, number in {"deployed": 1, "failed": 2, "refused": 2, "rolled back": 1, "restored": 1}.items():
        assert _value(metrics, "slipway_deploys_total", image="r.example/app", outcome=outcome) == number
    assert _value(metrics, "slipway_swept_objects_total") == 7
    assert _value(metrics, "slipway_pushes_total") == 1


def test_labels_take_a_bounded_number_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may post events to an open server: what is too many or too long is `other`."""
    for name in ("MOST_IMAGES", "MOST_CAUSES", "MOST_STEPS"):
        monkeypatch.setattr(metrics_module, name, 3)
    metrics = Metrics()
    for n in range(50):
        metrics.count(RELEASE_FAILED, {"image": f"i{n}", "cause": f"C{n}", "steps_s": {f"s{n}": 1.0}})
    metrics.count(RELEASE_FAILED, {"image": "i0", "cause": "C" * 10_000})
    text = generate_latest(metrics.registry).decode()
    assert _value(metrics, "slipway_releases_total", image="other", outcome="failed") == 47
    assert _value(metrics, "slipway_releases_total", image="i0", outcome="failed") == 2
    assert _value(metrics, "slipway_release_failures_total", cause="other") == 48
    assert _value(metrics, "slipway_step_duration_seconds_count", step="other") == 47
    assert len(text.splitlines()) < 200


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"image": 3, "steps": "x", "duration_s": None, "steps_s": None},
        {"count": -1, "steps_s": [1], "cause": ["x"]},
    ],
)
def test_a_strange_payload_breaks_nothing(payload: dict[str, object]) -> None:
    """What cannot be read counts as nothing, or as `other`."""
    metrics = Metrics()
    for event in (IMAGE_RELEASED, RELEASE_FAILED, IMAGE_DEPLOYED, SWEPT, PUSHED, "slipway.of.a.later.version"):
        metrics.count(event, payload)
    assert _value(metrics, "slipway_swept_objects_total") == 0
