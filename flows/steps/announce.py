"""Announce: emit the events of a release or its failure, which start chained deployments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect_slipway.flows.reporting.events import IMAGE_RELEASED, RELEASE_FAILED, announce, announce_each
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.values.gates import GateOutcome
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import ReleasedImage, ReleaseResult
from prefect_slipway.infra.domain.errors import Interrupted, SlipwayError


async def announce_release(plan: ReleasePlan, result: ReleaseResult, steps_s: dict[str, float]) -> None:
    """Emit an event for each image; only call it when the images are public under their version."""
    times = _times(result.duration_s, steps_s)
    await announce_each(IMAGE_RELEASED, {image.image: _payload(plan, result, image) | times for image in result.images})


async def announce_failure(
    request: ReleaseRequest,
    plan: ReleasePlan | None,
    error: BaseException,
    duration_s: float,
    steps_s: dict[str, float],
    gates: Sequence[GateOutcome] = (),
) -> None:
    """Emit the failure event. `plan`: None if the release failed before planning. The event only contains the cause's
    name, not its text."""
    image = plan.only.image if plan is not None and plan.only is not None else request.image
    payload = {
        "cause": cause_of(error),
        "image": image,
        "version": plan.version if plan is not None else None,
        "revision": plan.source.revision if plan is not None else None,
        "gates": _gates(gates),
        **_times(duration_s, steps_s),
    }
    await announce(RELEASE_FAILED, image or request.source, payload)


def cause_of(error: BaseException) -> str:
    """The name of a cause, for events and metrics; an interruption has one as well."""
    if isinstance(error, Exception):
        return error.name if isinstance(error, SlipwayError) else type(error).__name__
    return Interrupted.__name__


def _payload(plan: ReleasePlan, result: ReleaseResult, image: ReleasedImage) -> dict[str, Any]:
    return {
        "image": image.image,
        "reference": image.reference,
        "digest": image.digest,
        "version": result.version,
        "revision": result.revision,
        "committed_at": plan.source.committed_at,
        "tags": list(image.tags),
        "previous_version": plan.previous_version,
        "steps": image.steps,
        "cached_steps": image.cached_steps,
        "gates": _gates([each for each in result.gates if each.image.startswith(f"{image.image}@")]),
    }


def _gates(outcomes: Sequence[GateOutcome]) -> list[dict[str, Any]]:
    return [{"gate": each.gate, "outcome": each.outcome, "seconds": each.seconds} for each in outcomes]


def _times(duration_s: float, steps_s: dict[str, float]) -> dict[str, Any]:
    """The part of a payload that says how long it took, in seconds."""
    return {"duration_s": duration_s, "steps_s": dict(steps_s)}
