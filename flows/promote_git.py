"""A promotion by git: the same digest from one place in git to the next, never rebuilt."""

from itertools import pairwise

from prefect import flow
from prefect.runtime import flow_run

from prefect_slipway.flows.deploy_git import written
from prefect_slipway.flows.gitops import writing
from prefect_slipway.flows.gitops.open_target import OpenTarget, open_target
from prefect_slipway.flows.request.gitops import GitPromoteRequest
from prefect_slipway.flows.rollouts.open_deploy import open_registries
from prefect_slipway.flows.rollouts.values import DeployedImage, PromoteResult
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.steps.gitops import places_of, wait_until_runs
from prefect_slipway.flows.steps.resolve import resolve_image
from prefect_slipway.flows.steps.rollout import check_required
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.infra.domain.errors import NotPromoted


@read_before_recorded
@flow(name="promote-git", flow_run_name="{request.run_name}", persist_result=True, result_serializer="json")
async def promote_git(request: GitPromoteRequest) -> PromoteResult[GitWrite]:
    """Write the first environment's image to the other environments in git, in order.

    The first failure or rejection ends it; environments reached so far keep the image. Safe to run again.
    """
    about = About("promote", request.way, f"{request.way}: nothing was promoted", request.shown)
    return await as_run(lambda: _promote(request), about, lambda result: result.summary)


async def _promote(request: GitPromoteRequest) -> PromoteResult[GitWrite]:
    done: dict[str, GitWrite] = {}
    async with open_registries(request, None) as registries:
        targets = [open_target(each.name, each, registries.needed_vault) for each in request.environments]
        reference = request.reference or await find_image(targets[0])
        image = await resolve_image(registries, reference, request.version)
        # By what all require, before the first gets it.
        await check_required(registries, image, request.require, await places_of(*targets))
        for (before, _), (after, environment) in pairwise(zip(targets, request.environments, strict=True)):
            await check_written(before, image)
            if before.request.workload is not None:
                await wait_until_runs(before, image.digest)
            timeout_s = request.approval_timeout_s if environment.approval else None
            done[after.name] = await written(registries, after, image, request.require, timeout_s)
    return PromoteResult(image.name, image.digest, done, image.version, str(flow_run.id), flow_run.ui_url)


@step("find the image")
async def find_image(target: OpenTarget) -> str:
    """What the first environment names. Raises NotPromoted, and as `writing.current`."""
    there, *_ = await writing.current(target)
    if there is None or not (there.tag or there.digest):
        raise NotPromoted(f"{target.name}: {target.request.place} names no image by a tag or digest")
    return str(there)


@step("look at the previous environment")
async def check_written(target: OpenTarget, image: DeployedImage) -> None:
    """Check that this digest is in all its places there. Raises NotPromoted."""
    for there in await writing.current(target, image.name):
        if there is None or there.digest != image.digest:
            raise NotPromoted(f"{target.name}: {target.request.place} names {there}, not {image.reference}")
