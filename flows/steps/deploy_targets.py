"""Deploy targets of a release: places in git repositories that get the image when it is public. A failure there is
told, and undoes nothing of the release."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from prefect_slipway.flows.gitops import writing
from prefect_slipway.flows.gitops.open_target import OpenTarget, open_target
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.rollouts.values import DeployedImage
from prefect_slipway.flows.run.interrupts import unless_interrupted, whatever_comes
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import Registries, needed
from prefect_slipway.flows.run.stopwatch import not_counted
from prefect_slipway.flows.run.trusted_keys import public_keys
from prefect_slipway.flows.steps.gitops import announce_deploy, announce_failure, followed, places_of, write_to_git
from prefect_slipway.flows.steps.rollout import check_required
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import InvalidOption, SlipwayError
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.domain.version import image_tag, parse_version
from prefect_slipway.infra.registry.client import RegistryClient


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


@step("look for deploy targets to finish")
async def targets_to_finish(
    run: OpenRun, registries: Registries, plan: ReleasePlan
) -> tuple[tuple[PlannedTarget, ...], list[DeployedImage]]:
    """The targets that the last version has never reached, because its release was interrupted there or refused, and
    its images. Raises as `check_targets`, and RegistryErrors."""
    assert plan.last_version is not None, "a version is released"
    images = []
    for planned in plan.public:
        reference = ImageReference.parse(planned.image)
        client = await registries.client(reference)
        found = await client.head(reference.repository, image_tag(parse_version(plan.last_version)))
        if found is not None:
            images.append(DeployedImage(planned.image, found.digest, plan.last_version))
    by_name = {image.name: image for image in images}
    targets = [each for each in await check_targets(run, plan) if each.image in by_name]
    lacking = await run_concurrently(*(writing.never_had(each.target, by_name[each.image]) for each in targets))
    return tuple(each for each, lacks in zip(targets, lacking, strict=True) if lacks), images


async def write_targets(
    run: OpenRun,
    registries: Registries,
    planned: Sequence[PlannedTarget],
    plan: ReleasePlan,
    images: Iterable[DeployedImage],
) -> list[GitWrite]:
    """Write the public images, one target after the other. Never fails; an interruption ends it."""
    public = {image.name: image for image in images}
    done = []
    with not_counted():
        for each in planned:
            target, image = each.target, public[each.image]
            # The push must not start the next release where the source is what is written to.
            same = plan.source.url is not None and plan.source.url == target.remote.url.label
            write = partial(_write, run, registries, target, image, skip_ci=same)
            done.append(await _tried(target, image, None, write))
    return done


async def _write(
    run: OpenRun, registries: Registries, target: OpenTarget, image: DeployedImage, *, skip_ci: bool
) -> GitWrite:
    """Once the image has what the policies of the workload's namespace require. Raises as `check_required` and
    `write_to_git`."""
    await check_required(_Verifying(run, registries), image, [], await places_of(target))
    return await write_to_git(target, image, skip_ci=skip_ci, forward=True)


@dataclass(frozen=True)
class _Verifying:
    """A release's registries, and trusted keys by its session with Vault."""

    run: OpenRun
    registries: Registries

    async def client(self, image: ImageReference) -> RegistryClient:
        return await self.registries.client(image)

    async def public_keys(self, texts: Sequence[str]) -> tuple[PublicKey, ...]:
        return await public_keys(texts, self.run.vault)


def released_images(result: ReleaseResult) -> Iterator[DeployedImage]:
    """The images of a release, as deploys have them."""
    for image in result.images:
        yield DeployedImage(image.image, image.digest, result.version)


async def follow_targets(planned: Sequence[PlannedTarget], done: Sequence[GitWrite]) -> Sequence[GitWrite]:
    """Wait for the workloads that run what was written, at the same time. Never fails; an interruption ends it."""

    async def follow(each: PlannedTarget, write: GitWrite) -> GitWrite:
        if write.failure is not None:
            return write
        image = DeployedImage(write.image, write.digest, write.version)
        tried = await _tried(each.target, image, write, partial(followed, each.target, write))
        if tried.failure is not None:
            return replace(write, failure=tried.failure)
        await whatever_comes(announce_deploy(each.target, image, tried))
        return tried

    with not_counted():
        return await run_concurrently(*(follow(*each) for each in zip(planned, done, strict=True)))


async def _tried(
    target: OpenTarget, image: DeployedImage, before: GitWrite | None, work: Callable[[], Awaitable[GitWrite]]
) -> GitWrite:
    """The outcome, also of a failure, which is an event. `before`: what was written before."""
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
            await announce_failure(target, image, error, before)

    await unless_interrupted(attempt())
    if done.failure is not None:
        watcher().say(f"WARN: deploy {target.name}: {done.failure}")
    return done
