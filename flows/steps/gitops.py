"""Write an image into a git repository, and wait until the workload that follows it runs the image."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

from prefect.runtime import flow_run

from prefect_slipway.flows.gitops import writing
from prefect_slipway.flows.gitops.open_target import OpenTarget
from prefect_slipway.flows.reporting.events import (
    DEPLOY_FAILED,
    IMAGE_DEPLOYED,
    IMAGE_ROLLED_BACK,
    NOT_CHANGED,
    announce,
)
from prefect_slipway.flows.rollouts.values import DeployedImage
from prefect_slipway.flows.run.required import Place
from prefect_slipway.flows.steps.announce import cause_of
from prefect_slipway.flows.steps.rollout import say
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.gitops import GitWrite
from prefect_slipway.infra.domain.errors import ClusterError, NotFollowed, ObjectMissing, SlipwayError
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName

_LOOK_S = 1.0
_STAYS = "git has the image"


@step("write to git")
async def write_to_git(
    target: OpenTarget, image: DeployedImage, *, reverts: str = "", skip_ci: bool = False, forward: bool = False
) -> GitWrite:
    """Raises as `writing.write`."""
    run = flow_run.ui_url or str(flow_run.id)
    done = await writing.write(target, image, run=run, reverts=reverts, skip_ci=skip_ci, forward=forward)
    say(f"{target.name}: {done.line}" if target.name else done.line)
    return done


async def places_of(*targets: OpenTarget) -> list[Place]:
    """Where the workloads are that follow the targets: the policies of their namespaces hold. Raises
    KubeconfigInvalid."""
    found = []
    for each in targets:
        if each.request.workload is not None:
            # The cluster's client takes half a second to import.
            from prefect_slipway.flows.run.cluster import open_api

            async with open_api(each.request.context, each.request.namespace) as api:
                found.append(Place(api.host, api.namespace, api.in_cluster))
    return found


async def followed(target: OpenTarget, done: GitWrite) -> GitWrite:
    """What was written, when the workload runs it; as it is where nobody is to wait. Raises as `wait_until_runs`."""
    if target.request.workload is None or done.commit is None or done.branch != target.request.branch:
        return done
    begin = time.monotonic()
    settled_s = await wait_until_runs(target, done.digest)
    seconds = round(time.monotonic() - begin - settled_s, 1)
    return replace(done, workload=target.request.workload, seconds=seconds)


async def announce_deploy(
    target: OpenTarget, image: DeployedImage, done: GitWrite, *, rolling_back: bool = False
) -> None:
    """Emit the event of a deploy; none for what was there already, or waits in a pull request."""
    if done.changed and done.branch == target.request.branch:
        event = IMAGE_ROLLED_BACK if rolling_back else IMAGE_DEPLOYED
        await announce(event, image.name, await _facts(target, image, done) | {"duration_s": done.seconds})


async def announce_failure(
    target: OpenTarget, image: DeployedImage, error: BaseException, done: GitWrite | None
) -> None:
    """`done`: what was written before, None for nothing."""
    outcome = ""
    if done is not None and done.changed:
        outcome = NOT_CHANGED if isinstance(error, NotFollowed) else _STAYS
    facts = await _facts(target, image, done)
    await announce(DEPLOY_FAILED, image.name, facts | {"cause": cause_of(error), "outcome": outcome})


async def _facts(target: OpenTarget, image: DeployedImage, done: GitWrite | None) -> dict[str, object]:
    request = target.request
    namespace = request.namespace
    if namespace is None and request.workload is not None:
        with suppress(SlipwayError):
            namespace = (await places_of(target))[0].namespace
    return {
        "image": image.name,
        "reference": image.reference,
        "digest": image.digest,
        "version": image.version,
        "workload": request.workload,
        "container": request.container,
        "namespace": namespace,
        "context": request.context,
        "previous": done.previous if done is not None else None,
        "git": {
            "repository": target.remote.url.shown,
            "branch": request.branch,
            "path": target.path,
            "commit": done.commit if done is not None else None,
        },
    }


@step("wait for the workload")
async def wait_until_runs(target: OpenTarget, digest: str) -> float:
    """Wait until whatever follows the repository has set the image, and its rollout is complete. Returns the seconds
    for which it had to stay so.

    Raises NotFollowed if nobody sets it in time, the other RolloutErrors, and ClusterErrors.
    """
    from prefect_slipway.flows.run.cluster import open_api
    from prefect_slipway.infra.kubernetes.workloads.rollout import RolloutRules, watch_rollout
    from prefect_slipway.infra.kubernetes.workloads.workload import Workload

    request = target.request
    assert request.workload is not None, "a workload is waited for"
    begin = time.monotonic()
    async with open_api(request.context, request.namespace) as api:
        workload = Workload(api, WorkloadName.parse(request.workload), request.container)
        runs = "nothing"
        say(f"waiting for {request.workload} to run {digest[:19]}")
        while True:
            left = request.timeout_s - (time.monotonic() - begin)
            try:
                state = await workload.read()
                runs = state.image
                if ImageReference.parse(runs).digest == digest:
                    break
            except ObjectMissing:
                """Whatever follows the repository creates it, too."""
            except ClusterError as error:
                if not error.retryable:
                    raise
            if left <= 0:
                raise NotFollowed(
                    f"{request.workload} was not set to {digest} within {request.timeout_s:g} s: it has {runs}"
                )
            await asyncio.sleep(_LOOK_S)
        rules = RolloutRules(timeout_s=max(left, 1.0))
        await watch_rollout(api, state, rules, say)
        return rules.settle_s
