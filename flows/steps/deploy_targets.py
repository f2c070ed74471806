"""Deploy targets of a release: places in git repositories that get the image when it is public. A failure there is
told, and undoes nothing of the release."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from prefect_slipway.flows.gitops import writing
from prefect_slipway.flows.gitops.open_target import OpenTarget, open_target
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.rollouts.values import DeployedImage
from prefect_slipway.flows.run.interrupts import unless_interrupted
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import needed
from prefect_slipway.flows.run.stopwatch import not_counted
from prefect_slipway.flows.steps.gitops import followed, write_to_git
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import InvalidOption, SlipwayError


@dataclass(frozen=True)
class PlannedTarget:
    """A target, and the image that it gets."""

    target: OpenTarget
    image: str


@step("look at the deploy targets")
async def check_targets(run: OpenRun, plan: ReleasePlan) -> tuple[PlannedTarget, ...]:
    """The targets of this release's images, each looked into: what is wrong with one is told before anything is built.

    Raises InvalidOption, GitOpsErrors, SourceErrors, VaultErrors and StackDown.
    """
    public = [image.image for image in plan.public]
    found = []
    for name, request in run.request.deploy.items():
        if request.image is None and len(public) > 1:
            raise InvalidOption(
                f"deploy.{name} does not say which of the {len(public)} images it gets", action="add image to it"
            )
        image = request.image or public[0]
        # Another release of the same file, of a component say, has the other images.
        if image in public:
            found.append(PlannedTarget(open_target(name, request, partial(needed, run.vault)), image))
    await run_concurrently(*(writing.current(each.target, each.image) for each in found))
    return tuple(found)


async def write_targets(planned: Sequence[PlannedTarget], plan: ReleasePlan, result: ReleaseResult) -> list[GitWrite]:
    """Write the public images, one target after the other. Never fails; an interruption ends it."""
    released = {image.image: image for image in result.images}
    done = []
    with not_counted():
        for each in planned:
            target, image = each.target, DeployedImage(each.image, released[each.image].digest, plan.version)
            # The push must not start the next release where the source is what is written to.
            same = plan.source.url is not None and plan.source.url == target.remote.url.label
            done.append(await _tried(target, image, partial(write_to_git, target, image, skip_ci=same, forward=True)))
    return done


async def follow_targets(planned: Sequence[PlannedTarget], done: Sequence[GitWrite]) -> Sequence[GitWrite]:
    """Wait for the workloads that run what was written, at the same time. Never fails; an interruption ends it."""

    async def follow(each: PlannedTarget, write: GitWrite) -> GitWrite:
        if write.failure is not None:
            return write
        image = DeployedImage(write.image, write.digest, write.version)
        tried = await _tried(each.target, image, partial(followed, each.target, write))
        return replace(write, failure=tried.failure) if tried.failure is not None else tried

    with not_counted():
        return await run_concurrently(*(follow(*each) for each in zip(planned, done, strict=True)))


async def _tried(target: OpenTarget, image: DeployedImage, work: Callable[[], Awaitable[GitWrite]]) -> GitWrite:
    """The outcome, also of a failure."""
    done = GitWrite(
        target=target.name,
        repository=target.remote.url.shown,
        branch=target.request.branch,
        path=target.path,
        image=image.name,
        digest=image.digest,
        reference=str(writing.written(image)),
        version=image.version,
        failure="interrupted",
    )

    async def attempt() -> None:
        nonlocal done
        try:
            done = await work()
        except SlipwayError as error:
            done = replace(done, failure=f"{error.name}: {error.cause}. Next: {error.action}")

    await unless_interrupted(attempt())
    if done.failure is not None:
        watcher().say(f"WARN: deploy {target.name}: {done.failure}")
    return done
