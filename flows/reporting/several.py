"""The part of a report about several images: a table, and a picture of their dependencies."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.flows.reporting import dag, markdown
from prefect_slipway.flows.reporting.links import registry_link
from prefect_slipway.flows.reporting.timeline import as_data_uri
from prefect_slipway.flows.values.plan import PlannedImage, ReleasePlan
from prefect_slipway.flows.values.result import BuiltImage, ReleaseResult, StepTime, VerifiedImage
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.text import human_size


def images_as_markdown(
    plan: ReleasePlan,
    result: ReleaseResult,
    built: Sequence[BuiltImage],
    verified: Sequence[VerifiedImage],
    failed: str | None,
) -> list[str]:
    """`failed`: the target whose build failed, if one did."""
    by_target = {one.planned.target: one for one in built}
    sizes = {one.planned.target: one.size for one in verified}
    tags = {image.image: ", ".join(image.tags) for image in result.images}
    rows = [["image", "tags", "digest", "size", "steps", "seconds"]]
    for image in plan.images:
        row = [_link(plan, image), markdown.text(tags.get(image.image, "") if image.public else "")]
        if (one := by_target.get(image.target)) is not None:
            steps = f"{one.steps}, {one.cached_steps} cached" if one.steps else "found"
            size = human_size(sizes[image.target]) if image.target in sizes else ""
            row += [one.digest, size, steps, f"{one.end_s - one.start_s:.1f}"]
        rows.append(row + [""] * (6 - len(row)))
    nodes = [f"{one.planned.target}: {'; '.join(one.nodes)}" for one in built if one.nodes]
    picture = as_data_uri(_picture(plan, by_target, failed))
    return [
        "",
        *markdown.table(rows),
        "",
        *([*markdown.items(nodes), ""] if nodes else []),
        "## Images",
        "",
        f"![images]({picture})",
    ]


def build_times(built: Sequence[BuiltImage]) -> tuple[StepTime, ...]:
    """Each image's build as one step."""
    return tuple(StepTime(one.planned.target, one.start_s, one.end_s, cached=_is_cached(one)) for one in built)


def _link(plan: ReleasePlan, image: PlannedImage) -> str:
    link = registry_link(ImageReference.parse(image.image), plan.version or "")
    shown = markdown.link(image.target, link.url) if link is not None else markdown.text(image.target)
    return f"{shown}: {markdown.text(image.image)}"


def _picture(plan: ReleasePlan, built: dict[str, BuiltImage], failed: str | None) -> str:
    states, notes = {}, {}
    for image in plan.images:
        one = built.get(image.target)
        if one is None:
            states[image.target] = "failed" if image.target == failed else "not built"
        else:
            states[image.target] = "cached" if _is_cached(one) else "built"
            notes[image.target] = f"{one.digest[7:19]} {one.end_s - one.start_s:.1f} s"
    return dag.as_svg({image.target: image.bases for image in plan.images}, states, notes)


def _is_cached(built: BuiltImage) -> bool:
    return built.steps == built.cached_steps
