"""A deploy by git: an image by digest into files of a repository that a cluster follows."""

from prefect import flow

from prefect_slipway.flows.gitops.open_target import OpenTarget, open_target
from prefect_slipway.flows.request.gitops import GitDeployRequest
from prefect_slipway.flows.rollouts.open_deploy import DeployRegistries, open_registries
from prefect_slipway.flows.rollouts.values import DeployedImage
from prefect_slipway.flows.run.approval import Question, approved
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.interrupts import whatever_comes
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.steps.gitops import announce_deploy, announce_failure, followed, places_of, write_to_git
from prefect_slipway.flows.steps.resolve import resolve_image
from prefect_slipway.flows.steps.rollout import check_required
from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.infra.domain.errors import ApprovalRefused


@read_before_recorded
@flow(name="deploy-git", flow_run_name="{request.run_name}", persist_result=True, result_serializer="json")
async def deploy_git(request: GitDeployRequest) -> GitWrite:
    """Write an image by digest into a git repository, and wait until the workload that follows it runs the image.

    Safe to run again: what is written already makes no commit.
    """
    about = About("deploy", request.git.place, f"{request.reference} was not written to git", request.shown)
    return await as_run(lambda: _deploy(request), about, lambda result: result.summary)


async def _deploy(request: GitDeployRequest) -> GitWrite:
    async with open_registries(request, None) as registries:
        target = open_target("", request.git, registries.needed_vault)
        image = await resolve_image(registries, request.reference, request.version)
        timeout_s = request.approval_timeout_s if request.approval else None
        return await written(registries, target, image, request.require, timeout_s)


async def written(
    registries: DeployRegistries,
    target: OpenTarget,
    image: DeployedImage,
    require: list[str],
    approval_timeout_s: float | None,
    *,
    reverts: str = "",
    rolling_back: bool = False,
) -> GitWrite:
    """Check, ask, write and wait: what deploys, rollbacks and promotions by git share; its end is an event.
    `approval_timeout_s`: None to ask nobody. Raises as the steps."""
    done: GitWrite | None = None
    try:
        verified = await check_required(registries, image, require, await places_of(target))
        if approval_timeout_s is not None:
            facts = [f"as {image.reference}", target.request.place, *(f"verified: {each}" for each in verified)]
            lines = [f"Write {image.shown} to {target.title}", *(f"  - {fact}" for fact in facts)]
            await approved(Question("\n".join(lines), "\n".join(lines)), approval_timeout_s)
        done = await write_to_git(target, image, reverts=reverts)
        done = await followed(target, done)
    except ApprovalRefused:
        raise
    except BaseException as error:
        await whatever_comes(announce_failure(target, image, error, done))
        raise
    await whatever_comes(announce_deploy(target, image, done, rolling_back=rolling_back))
    return done
