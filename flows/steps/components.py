"""Components: each is a release of its own, after those that it needs; what does not need a failed one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from prefect import Flow, Task, get_run_logger, tags
from prefect.artifacts import MarkdownArtifact
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from prefect_slipway.flows.components.described import name_of, used_images
from prefect_slipway.flows.planning.components import ComponentRelease, plan_components
from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.reporting.components import ComponentsReport, Labelled, plan_of_components
from prefect_slipway.flows.reporting.rows import describe
from prefect_slipway.flows.reporting.watch import watcher, watching
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.flow_run import has_report
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.server.errors import prefect_cause
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.components import (
    FAILED,
    RELEASED,
    SKIPPED,
    UNCHANGED,
    ComponentOutcome,
    ComponentsPlan,
)
from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import ComponentsFailed, ManifestUnknown, SlipwayError
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import image_tag, parse_version
from prefect_slipway.infra.source import Checkout

Release = Flow[[ReleaseRequest], Coroutine[Any, Any, ReleaseResult]]
"""The flow that releases one of them."""

# More than there can be components.
_APART = 1_000


async def release_components(run: OpenRun, checkout: Checkout, release: Release) -> ReleaseResult:
    """Release the components that changed, each by a run of the flow `release` below this one. Raises
    ComponentsFailed, and as `plan_components`."""
    plan, releases = await read_components(run, checkout)
    get_run_logger().info("%s", plan.as_text())
    watcher().say(plan.as_text())
    key = key_of("components", plan.source.lower())
    await _show(key, plan_of_components(plan), plan.title)
    _runs_of_their_own(release)
    outcomes = await _Releases(run, checkout, releases, release).all()
    report = ComponentsReport(plan, _result(plan, outcomes))
    watcher().show(report)
    await _show(key, report.as_markdown(), report.title)
    has_report()
    if missing := [each.name for each in outcomes if each.state in {FAILED, SKIPPED}]:
        details = "\n".join(f"{name}: {what}" for name, what in (each.line() for each in outcomes))
        raise ComponentsFailed(f"not released: {', '.join(missing)} ({report.result.reason})", details=details)
    return report.result


def _runs_of_their_own(release: Release) -> None:
    """A run that is retried gets new runs below it. Prefect knows the earlier ones by their number alone
    (flow_engine.py, `load_subflow_run`), and would take another component's run for this one's."""
    if (context := FlowRunContext.get()) is not None and flow_run.run_count > 1:
        key = Task(fn=release.fn).task_key
        context.task_run_dynamic_keys[key] = flow_run.run_count * _APART


@step("plan components")
async def read_components(run: OpenRun, checkout: Checkout) -> tuple[ComponentsPlan, dict[str, ComponentRelease]]:
    """Raises as `plan_components`."""
    return await plan_components(run, checkout)


class _Releases:
    """Each begins when those that it needs are public, as many at once as the request says."""

    def __init__(
        self, run: OpenRun, checkout: Checkout, releases: Mapping[str, ComponentRelease], release: Release
    ) -> None:
        self._run = run
        self._folder = checkout.path
        self._releases = releases
        self._release = release
        self._slots = asyncio.Semaphore(run.asked.components.at_once)
        self._tasks: dict[str, asyncio.Task[ComponentOutcome]] = {}

    async def all(self) -> tuple[ComponentOutcome, ...]:
        for name, each in self._releases.items():
            if each.planned.version is not None:
                self._tasks[name] = asyncio.ensure_future(self._one(each))
        outcomes = dict(zip(self._tasks, await run_concurrently(*self._tasks.values()), strict=True))
        return tuple(
            outcomes.get(name) or ComponentOutcome(name, UNCHANGED, each.planned.previous, why=each.planned.why)
            for name, each in self._releases.items()
        )

    async def _one(self, each: ComponentRelease) -> ComponentOutcome:
        name, version = each.planned.name, each.planned.version
        needed = [await self._tasks[need] for need in each.planned.needs if need in self._tasks]
        if missing := [need.name for need in needed if need.state in {FAILED, SKIPPED}]:
            return ComponentOutcome(name, SKIPPED, version, why=f"it needs {', '.join(missing)}")
        async with self._slots:
            try:
                with watching(Labelled(name, watcher())), tags("slipway"):
                    result = await self._release(await self._on_its_bases(each))
            except Exception as error:
                cause = error if isinstance(error, SlipwayError) else prefect_cause(error) or error
                why = cause.cause if isinstance(cause, SlipwayError) else describe(cause)
                return ComponentOutcome(name, FAILED, version, why=why)
        references = tuple(image.reference for image in result.images)
        state, why = (RELEASED, "") if result.released else (UNCHANGED, result.reason)
        return ComponentOutcome(name, state, result.version, references, why, result.ui_url)

    async def _on_its_bases(self, each: ComponentRelease) -> ReleaseRequest:
        """The request, with the images of components that the Dockerfile names, by digest. Raises RegistryErrors."""
        needs = {need: self._releases[need].planned for need in each.planned.needs}
        by_image = {planned.image: planned for planned in needs.values()}
        contexts = {}
        for base in used_images(self._folder, each.component):
            planned = needs.get(base) or by_image.get(name_of(base) or None)
            if planned is not None and planned.image is not None:
                digest = await self._digest(planned.name, planned.image)
                contexts[base.removesuffix(":latest")] = f"docker-image://{planned.image}@{digest}"
        return each.request(contexts)

    async def _digest(self, name: str, image: str) -> str:
        """Of what was released just now, or else of the last version."""
        outcome = await self._tasks[name] if name in self._tasks else None
        if outcome is not None and outcome.references:
            return outcome.references[0].rpartition("@")[2]
        planned, place = self._releases[name].planned, ImageReference.parse(image)
        client = await self._run.registries(place.registry).client(place)
        for version in filter(None, (planned.version, planned.previous)):
            found = await client.head(place.repository, image_tag(parse_version(version)))
            if found is not None:
                return found.digest
        raise ManifestUnknown(f"{image} has no version {planned.previous}, on which another component is based")


def _result(plan: ComponentsPlan, outcomes: Sequence[ComponentOutcome]) -> ReleaseResult:
    count = {state: sum(each.state == state for each in outcomes) for state in (RELEASED, FAILED, SKIPPED)}
    said = [f"{number} {state}" for state, number in count.items() if number]
    return ReleaseResult(
        image=plan.source,
        released=count[RELEASED] > 0,
        reason=f"{', '.join(said)} of {len(outcomes)} components" if said else "no component has changed",
        revision=plan.revision,
        flow_run_id=str(flow_run.id),
        ui_url=flow_run.ui_url,
        source=plan.source,
        components=tuple(outcomes),
    )


async def _show(key: str, page: str, title: str) -> None:
    await MarkdownArtifact(markdown=page, key=key, description=markdown.text(title)).acreate()
