"""A rollback by git: a commit that reverts what a release wrote."""

from prefect import flow

from prefect_slipway.flows.deploy_git import written
from prefect_slipway.flows.gitops import writing
from prefect_slipway.flows.gitops.open_target import OpenTarget, open_target
from prefect_slipway.flows.request.gitops import GitRollbackRequest
from prefect_slipway.flows.request.rollout import PREVIOUS
from prefect_slipway.flows.rollouts.open_deploy import open_registries
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.steps.resolve import resolve_image
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.infra.domain.reference import ImageReference, is_digest


@read_before_recorded
@flow(name="rollback-git", flow_run_name="{request.run_name}", persist_result=True, result_serializer="json")
async def rollback_git(request: GitRollbackRequest) -> GitWrite:
    """Write the release before the current one, or another one, into a git repository again, and wait for it."""
    about = About("deploy", request.git.place, f"{request.git.place} was not rolled back", request.shown)
    return await as_run(lambda: _rollback(request), about, lambda result: result.summary)


async def _rollback(request: GitRollbackRequest) -> GitWrite:
    async with open_registries(request, None) as registries:
        target = open_target("", request.git, registries.needed_vault)
        reference, version, reverts = await find_release(target, request.to, request.image)
        image = await resolve_image(registries, reference, version)
        return await written(registries, target, image, request.require, None, reverts=reverts, rolling_back=True)


@step("find the release")
async def find_release(target: OpenTarget, to: str, image: str | None) -> tuple[str, str | None, str]:
    """Reference and version, and the commit that is reverted, "" for a release that was named. Raises ReleaseUnknown,
    and as `writing.earlier`."""
    if to == PREVIOUS:
        there, revision = await writing.earlier(target, image)
        # The digest is what ran, whatever its tag is now.
        return str(there), None, revision
    now, *_ = await writing.current(target, image)
    name = image or (now.name if now is not None else None)
    if name is None:
        raise writing.no_image(target)
    ImageReference.parse(name)
    return (f"{name}@{to}", None, "") if is_digest(to) else (name, to, "")
