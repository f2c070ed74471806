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
from prefect_slipway.flows.run.approval import Question
from prefect_slipway.flows.run.flow_run import has_report
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.server.errors import prefect_cause
from prefect_slipway.flows.steps.approve import ask
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.components import (
    FAILED,
    RELEASED,
    SKIPPED,
    UNCHANGED,
    WAITING,
    ComponentOutcome,
    ComponentsPlan,
)
from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.buildkit.build.contexts import is_image
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import ComponentsFailed, ManifestUnknown, SlipwayError
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import image_tag, parse_version
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.history import remote_of

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
    if run.request.approval.required and plan.releases_any:
        await ask(run, checkout, Question(plan_of_components(plan), plan.as_text()))
    _runs_of_their_own(release)
    releasing = _Releases(run, checkout, releases, release, await _at_once(run, checkout))
    outcomes = await releasing.all()
    report = ComponentsReport(plan, _result(plan, outcomes, releasing.results))
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


async def _at_once(run: OpenRun, checkout: Checkout) -> int:
    """Where changelogs are committed in the work tree that is released, one after the other."""
    version, repository = run.request.version, checkout.repository
    if checkout.temporary is None and run.request.notes.changelog is not None and repository is not None:
        name = version.git_remote or "origin"
        if await remote_of(repository, name, run.git_credentials(), push=True) is None:
            return 1
    return run.asked.components.at_once


@step("plan components")
async def read_components(run: OpenRun, checkout: Checkout) -> tuple[ComponentsPlan, dict[str, ComponentRelease]]:
    """Raises as `plan_components`."""
    return await plan_components(run, checkout)


class _Releases:
    """Each begins when those that it needs are public, as many at once as the request says."""

    def __init__(
        self,
        run: OpenRun,
        checkout: Checkout,
        releases: Mapping[str, ComponentRelease],
        release: Release,
        at_once: int,
    ) -> None:
        self._run = run
        self._folder = checkout.path
        self._releases = releases
        self._release = release
        self._slots = asyncio.Semaphore(at_once)
        self._tasks: dict[str, asyncio.Task[ComponentOutcome]] = {}
        self.results: dict[str, ReleaseResult] = {}

    async def all(self) -> tuple[ComponentOutcome, ...]:
        for name, each in self._releases.items():
            if each.planned.version is not None or each.finishes:
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
        first = [
            need.name for need in needed if need.state == WAITING and self._releases[need.name].planned.previous is None
        ]
        if first and not each.planned.pull_request:
            return ComponentOutcome(name, WAITING, why=f"{version} needs a version of {', '.join(first)}")
        async with self._slots:
            try:
                with watching(Labelled(name, watcher())), tags("slipway"):
                    self.results[name] = result = await self._release(await self._on_its_bases(each))
            except Exception as error:
                cause = error if isinstance(error, SlipwayError) else prefect_cause(error) or error
                why = cause.cause if isinstance(cause, SlipwayError) else describe(cause)
                return ComponentOutcome(name, FAILED, version, why=why)
        references = tuple(image.reference for image in result.images)
        waits = each.planned.pull_request and not result.released
        state, why = (RELEASED, "") if result.released else (WAITING if waits else UNCHANGED, result.reason)
        if state == UNCHANGED and version is None:
            return ComponentOutcome(name, state, each.planned.previous, why=each.planned.why, page=result.ui_url)
        return ComponentOutcome(name, state, result.version, references, why, result.ui_url)

    async def _on_its_bases(self, each: ComponentRelease) -> ReleaseRequest:
        """The request, with the images of components that the Dockerfile names, by digest. Raises RegistryErrors."""
        if each.planned.pull_request:
            return each.request({})  # nothing is built
        needs = {need: self._releases[need].planned for need in each.planned.needs}
        by_image = {planned.image: planned for planned in needs.values()}
        contexts = {}
        # The targets of a set say by themselves what they are based on.
        bases = used_images(self._folder, each.component) if each.asked.bake is None else list(needs)
        named = {base.removesuffix(":latest"): base for base in bases}
        # A context that is a component's image stands in the Dockerfile by the context's name.
        own = each.asked.build.contexts
        named |= {name: place.partition("://")[2] for name, place in own.items() if is_image(place)}
        for name, base in named.items():
            planned = needs.get(base) or by_image.get(name_of(base) or None)
            if planned is not None and planned.image is not None:
                digest = await self._digest(planned.name, planned.image)
                contexts[name] = f"docker-image://{planned.image}@{digest}"
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


def _result(
    plan: ComponentsPlan, outcomes: Sequence[ComponentOutcome], results: Mapping[str, ReleaseResult]
) -> ReleaseResult:
    """What became of all, with what was not done of each."""
    states = (RELEASED, WAITING, FAILED, SKIPPED)
    count = {state: sum(each.state == state for each in outcomes) for state in states}
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
        warnings=tuple(f"{name}: {warning}" for name, each in results.items() for warning in each.warnings),
        left_behind=tuple(left for each in results.values() for left in each.left_behind),
        deploys=tuple(write for each in results.values() for write in each.deploys),
        forge=next((each.forge for each in results.values() if each.forge is not None and each.forge.warning), None),
    )


async def _show(key: str, page: str, title: str) -> None:
    await MarkdownArtifact(markdown=page, key=key, description=markdown.text(title)).acreate()
