"""Which node of the builder builds which platform of each image."""

from __future__ import annotations

from dataclasses import replace

from prefect_slipway.flows.bake.targets import Target
from prefect_slipway.flows.build_options import values
from prefect_slipway.flows.planning.source import FetchedSource
from prefect_slipway.flows.values.builder import BuilderFacts
from prefect_slipway.flows.values.plan import PlannedImage, ReleasePlan
from prefect_slipway.infra.domain.errors import BuilderUnreachable


def platforms_of(target: Target) -> tuple[str, ...]:
    """A target's platforms, in the form that images have them; empty for the builder's own."""
    return tuple(dict.fromkeys(values.platforms(target.platforms)))


def with_nodes(plan: ReleasePlan, source: FetchedSource, builder: BuilderFacts, *, emulate: bool) -> ReleasePlan:
    """The plan with who builds what, where the builder has several nodes. Raises PlatformUnavailable."""
    built = plan.to_build()

    def planned(image: PlannedImage) -> PlannedImage:
        if image not in built:
            return image
        try:
            shares = builder.shares(platforms_of(source.targets.targets[image.target]), emulate=emulate)
        except BuilderUnreachable:
            return image  # the build looks again
        return replace(image, nodes=tuple(share.shown() for share in shares)) if builder.is_several else image

    return replace(plan, images=tuple(map(planned, plan.images)))
