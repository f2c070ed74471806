"""Wait until a builder's pods are ready, and stop as soon as it is clear that they never will be."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import aclosing, suppress

from prefect_slipway.infra.domain.errors import (
    BuilderError,
    BuilderNotReady,
    BuilderRefused,
    BuilderVolumeMissing,
    ClusterError,
)
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import CLAIM, DEPLOYMENT, POD, Object, name_of, shown
from prefect_slipway.infra.kubernetes.access.pods import Verdict, is_ready, restarts, summary, verdict
from prefect_slipway.infra.kubernetes.builders.manifests import SPEC_HASH
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec

_LOG_LINES = 20
# A node that is gone would be asked for much longer.
_LOG_S = 3.0
# cmd/buildkitd/main.go (moby/buildkit): a daemon on a volume whose daemon before it has not quite ended. The kubelet
# starts it again, after 0, 10 and 20 s.
_LOCKED = "another instance running"
_LOCKED_RESTARTS = 3

Ended = tuple[str, str]
"""The end of a container: its pod's uid, and when it was."""


def ended(pod: Object, found: Verdict) -> Ended:
    return str(pod["metadata"]["uid"]), found.ended


async def wait_ready(
    api: KubernetesApi, name: str, spec: BuilderSpec, *, found: bool = False, known: Collection[Ended] = ()
) -> list[Object]:
    """The builder's ready pods, all of its replicas, in the order of their names.

    `name`: of its Deployment, which says how many there are, and is its pods' label `app` too. `found`: the builder
    was there already, so some of its replicas are enough where another one died and cannot be replaced. `known`: ends
    of containers while they were used: the kubelet starts those again. Raises the BuilderError that says why it cannot
    get ready, BuilderNotReady when `spec.ready_s` is over, and ClusterErrors.
    """
    deployment = await api.get(DEPLOYMENT, name)
    made_from = _made_from(deployment["spec"]["template"]) if deployment is not None else None
    replicas = int(deployment["spec"].get("replicas") or 1) if deployment is not None else spec.replicas
    try:
        return await _all_ready(api, name, spec, made_from, replicas, known)
    except BuilderError:
        pods = {name_of(pod): pod for pod in await api.find(POD, f"app={name}")} if found else {}
        if some := _ready_of(pods, made_from):
            return some
        raise


async def _all_ready(
    api: KubernetesApi,
    name: str,
    spec: BuilderSpec,
    made_from: str | None,
    replicas: int,
    known: Collection[Ended],
) -> list[Object]:
    last: dict[str, Object] = {}
    try:
        async with asyncio.timeout(spec.ready_s):
            pods = asyncio.create_task(_pods_ready(api, name, spec, made_from, replicas, known, last))
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
    if found.cause is BuilderVolumeMissing:
        details += await _claims(api, pod)
    if found.wants_log and (lines := await _last_lines(api, name_of(pod), previous=found.previous)):
        details += ["last lines:", lines]
    return found.cause(found.text, details="\n".join(details))


async def _claims(api: KubernetesApi, pod: Object) -> list[str]:
    """What the pod's volume claims wait for."""
    volumes = pod["spec"].get("volumes") or ()
    names = [each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each]
    told = []
    with suppress(ClusterError):  # the verdict stands without them
        for name in names:
            claim = await api.get(CLAIM, name)
            if claim is not None and (claim.get("status") or {}).get("phase") != "Bound":
                of = claim["spec"].get("storageClassName")
                why = (
                    f"of the StorageClass {of}" if of else "without a StorageClass, and the cluster has no default one"
                )
                told.append(f"{shown(CLAIM, name)} is not bound: it is {why}")
    return told


async def _last_lines(api: KubernetesApi, pod: str, *, previous: bool) -> str:
    """What the container wrote last, "" if that cannot be read: the verdict stands without it.

    One that has ended may have restarted since without writing anything yet; then it is the one before.
    """
    for earlier in (previous, True):
        with suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(_LOG_S):
                lines = (await api.logs(pod, lines=_LOG_LINES, previous=earlier)).strip()
            if lines:
                return lines
    return ""


async def _pods_ready(
    api: KubernetesApi,
    name: str,
    spec: BuilderSpec,
    made_from: str | None,
    replicas: int,
    known: Collection[Ended],
    last: dict[str, Object],
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
                pods = _pods_of(last, made_from)
                ready = _ready_of(last, made_from)
                if len(ready) >= replicas:
                    return ready
                found = [(seen, pod) for pod in pods if (seen := _failure(pod, known)) is not None]
                over = patience is not None and patience.done()
                for seen, pod in found:
                    if not seen.may_pass or over:
                        error = await error_of(api, seen, pod)
                        if not (_LOCKED in error.details and restarts(pod) < _LOCKED_RESTARTS):
                            raise error
                if not found:
                    patience = None
                elif patience is None:
                    patience = asyncio.create_task(asyncio.sleep(spec.scheduling_patience_s))
        finally:
            tasks = [task for task in (snapshot, patience) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _failure(pod: Object, known: Collection[Ended]) -> Verdict | None:
    """Why the pod is not ready; not that its container ended, where it runs again, or will."""
    found = verdict(pod) if not is_ready(pod) else None
    return None if found is None or found.again or ended(pod, found) in known else found


async def _pods_refused(api: KubernetesApi, name: str) -> None:
    """Returns never; raises BuilderRefused when the Deployment may not make its pods (policy, quota)."""
    async with aclosing(api.follow(DEPLOYMENT, name=name)) as changes:
        async for deployments in changes:
            for deployment in deployments.values():
                for condition in (deployment.get("status") or {}).get("conditions") or ():
                    if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
                        raise BuilderRefused(
                            f"the pods of deployment/{name} cannot be created ({condition.get('reason')})",
                            details=str(condition.get("message") or ""),
                        )


def _pods_of(pods: dict[str, Object], made_from: str | None) -> list[Object]:
    """Without those on their way out, or of an older specification: they are replaced by their Deployment."""
    return [
        pod
        for _, pod in sorted(pods.items())
        if not pod["metadata"].get("deletionTimestamp") and _made_from(pod) == made_from
    ]


def _ready_of(pods: dict[str, Object], made_from: str | None) -> list[Object]:
    return [pod for pod in _pods_of(pods, made_from) if is_ready(pod)]


def _made_from(obj: Object) -> str | None:
    return (obj["metadata"].get("annotations") or {}).get(SPEC_HASH)
