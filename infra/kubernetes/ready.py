"""Waiting until a builder's pods are ready: watched, and given up as soon as it is clear that they never will be."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

from flows.domain.errors import BuilderError, BuilderNotReady, BuilderRefused, ClusterError
from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.kinds import DEPLOYMENT, POD, Object, name_of
from infra.kubernetes.manifests import SPEC_HASH
from infra.kubernetes.model import BuilderSpec
from infra.kubernetes.pods import Verdict, is_ready, summary, verdict

_LOG_LINES = 20


async def wait_ready(api: KubernetesApi, name: str, spec: BuilderSpec) -> list[Object]:
    """The builder's ready pods, all of its replicas, in the order of their names.

    `name`: of its Deployment, which is its pods' label `app` too. Raises the BuilderError that says why it cannot get
    ready, BuilderNotReady when `spec.ready_s` is over, and ClusterErrors.
    """
    deployment = await api.get(DEPLOYMENT, name)
    made_from = _made_from(deployment["spec"]["template"]) if deployment is not None else None
    last: dict[str, Object] = {}
    try:
        async with asyncio.timeout(spec.ready_s):
            pods = asyncio.create_task(_pods_ready(api, name, spec, made_from, last))
            refused = asyncio.create_task(_pods_refused(api, name))
            try:
                await asyncio.wait([pods, refused], return_when=asyncio.FIRST_COMPLETED)
                if refused.done():
                    refused.result()
                return await pods
            finally:
                for task in (pods, refused):
                    task.cancel()
                await asyncio.gather(pods, refused, return_exceptions=True)
    except TimeoutError as error:
        raise BuilderNotReady(
            f"builder {name} is not ready after {spec.ready_s:g} s",
            details="\n".join(summary(pod) for pod in last.values()) or "it has no pods",
        ) from error


async def error_of(api: KubernetesApi, found: Verdict, pod: Object) -> BuilderError:
    """The verdict as an error, with the container's last lines where they belong to it."""
    details = [found.details] if found.details else []
    if found.wants_log:
        with suppress(ClusterError):  # the lines are an extra; the verdict stands without them
            details.append(await api.logs(name_of(pod), lines=_LOG_LINES, previous=found.previous))
    return found.cause(found.text, details="\n".join(details))


async def _pods_ready(
    api: KubernetesApi, name: str, spec: BuilderSpec, made_from: str | None, last: dict[str, Object]
) -> list[Object]:
    patience: asyncio.Task[None] | None = None
    async with aclosing(api.follow(POD, selector=f"app={name}")) as changes:
        snapshot = asyncio.ensure_future(anext(changes))
        try:
            while True:
                waiting = {snapshot} | ({patience} if patience is not None else set())
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if snapshot.done():
                    last.clear()
                    last.update(snapshot.result())
                    snapshot = asyncio.ensure_future(anext(changes))
                # A pod that is on its way out, or of an older specification, is replaced by its Deployment.
                pods = [pod for _, pod in sorted(last.items()) if not pod["metadata"].get("deletionTimestamp")]
                pods = [pod for pod in pods if _made_from(pod) == made_from]
                ready = [pod for pod in pods if is_ready(pod)]
                if len(ready) >= spec.replicas:
                    return ready
                found = [(seen, pod) for pod in pods if not is_ready(pod) and (seen := verdict(pod)) is not None]
                over = patience is not None and patience.done()
                for seen, pod in found:
                    if not seen.may_pass or over:
                        raise await error_of(api, seen, pod)
                if not found:
                    patience = None
                elif patience is None:
                    patience = asyncio.create_task(asyncio.sleep(spec.scheduling_patience_s))
        finally:
            tasks = [task for task in (snapshot, patience) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _pods_refused(api: KubernetesApi, name: str) -> None:
    """Returns never; raises BuilderRefused when the Deployment may not make its pods (policy, quota)."""
    async with aclosing(api.follow(DEPLOYMENT, name=name)) as changes:
        async for deployments in changes:
            for deployment in deployments.values():
                for condition in (deployment.get("status") or {}).get("conditions") or ():
                    if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
                        raise BuilderRefused(
                            f"the pods of deployment/{name} may not be made ({condition.get('reason')})",
                            details=str(condition.get("message") or ""),
                        )


def _made_from(obj: Object) -> str | None:
    return (obj["metadata"].get("annotations") or {}).get(SPEC_HASH)
