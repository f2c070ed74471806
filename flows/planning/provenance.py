"""What only a release knows of its builds: the daemon writes it into their provenance.

`vcs:source` and `vcs:revision` become `buildkit_metadata.vcs`, as with docker buildx (build/git.go); the frontend's
other attributes become the request's `args` (solver/llbsolver/provenance/predicate.go in moby/buildkit).
"""

from __future__ import annotations

import os
from pathlib import Path

from prefect_slipway.flows.planning.source import FetchedSource
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.signing.provenance import FILE, INLINE, PATH, REF, RUN, SOURCE_POLICY, TRIGGER, VERSION


def builder_id(run_id: str | None, page: str | None, *, of_this_run: bool) -> str:
    """The URI of what built: the run's page, as docker/build-push-action names its own; "" outside of a run. Its
    fragment says whether the builder was made for this run alone: of a shared one, less can be believed.

    Everybody who may pull the image can read it, so an address with a user or password is left out.
    """
    lifetime = "#builder-run" if of_this_run else "#builder-shared"
    if page and "@" not in page:
        return page + lifetime
    return f"urn:uuid:{run_id}{lifetime}" if run_id else ""


def recorded(plan: ReleasePlan, run_id: str, trigger: str, ref: str) -> dict[str, str]:
    """Attributes for BuildRequest.recorded. `trigger`: what started the run, in words. `ref`: the branch, tag or commit
    that was asked for, "" for an unknown one."""
    source = plan.source
    revision = f"{source.revision}-dirty" if source.revision and source.dirty else source.revision
    facts = {
        "vcs:source": source.url,
        "vcs:revision": revision,
        RUN: run_id,
        VERSION: plan.version,
        TRIGGER: one_line(trigger),
        REF: one_line(ref),
        SOURCE_POLICY: plan.source_policy,
    }
    return {key: value for key, value in facts.items() if value}


def recorded_place(source: FetchedSource, name: str) -> dict[str, str]:
    """Attributes as `recorded`: where a target's build context and Dockerfile are in the source."""
    target = source.targets.targets[name]
    path = os.path.normpath(Path(source.checkout.subdirectory) / target.context)
    file = INLINE if target.dockerfile_inline is not None else target.dockerfile
    return {FILE: file, **({PATH: path} if path != "." else {})}
