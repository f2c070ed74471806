"""Why a build in a cluster failed: the builder's pod tells more than the broken connection."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import POD, Object, name_of
from prefect_slipway.infra.kubernetes.access.pods import Verdict, memory_limit, summary
from prefect_slipway.infra.kubernetes.builders.pod_watch import Sentinel
from prefect_slipway.infra.kubernetes.builders.ready import Ended, ended, error_of

T = TypeVar("T")

# The kubelet reports a container's end some seconds after the connection to it broke.
_DIAGNOSIS_S = 5.0
# How long a build may take to end by itself after its pod did: what it says then may be more than the pod tells.
_LAST_WORDS_S = 2.0
_MORE_MEMORY = (
    "raise it (--builder-option memory_limit=SIZE), or make the step use less memory (for example fewer parallel jobs)"
)


class Diagnosis:
    """Of one pod, from now on. `own`: it is the run's own, so that it may be given up."""

    def __init__(self, api: KubernetesApi, pod: Object, *, own: bool) -> None:
        self._api = api
        self._own = own
        self._sentinel = Sentinel(api, pod)
        self.ends: set[Ended] = set()
        """The ends of its container that were told."""

    async def stop(self) -> None:
        await self._sentinel.stop()

    async def guard(self, building: Coroutine[Any, Any, T]) -> T:
        """The result of a build (or of another call) at the pod; if that is lost meanwhile, the cause that it tells.

        A pod's end ends the build at once, also where the connection to it would only hang. Trouble with TLS is such a
        loss as well: both sides' certificates are ours and have been tried, so the way led elsewhere or broke off.
        """
        task = asyncio.create_task(building)
        try:
            either: set[asyncio.Future[Any]] = {task, self._sentinel.found}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=_LAST_WORDS_S)
            if not task.done():
                raise await self._cause(self._sentinel.found.result())
            return task.result()
        except (errors.BuilderLost, errors.BuilderUnreachable, errors.BuilderTlsError) as error:
            raise await self.lost(error) from error
        except errors.StepFailed as error:
            raise self._with_memory(error) from error
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def lost(self, error: errors.BuilderError) -> errors.BuilderError:
        """Why the connection was lost; what `error` says, with the pod's status, if the pod is well."""
        found = await self._sentinel.verdict(_DIAGNOSIS_S)
        if found is not None:
            return await self._cause(found)
        pod = self._sentinel.pod
        try:
            await self._api.logs(name_of(pod), lines=1)
        except errors.ClusterUnavailable:  # the API server asks the node's kubelet for it
            return await self._node_lost(pod, "does not answer")
        except errors.ObjectMissing:  # of a pod that is there, or the sentinel would have told: its node is not
            return await self._node_lost(pod, "is gone")
        except errors.ClusterError:
            pass  # the log itself does not matter
        kind = errors.BuilderLost if isinstance(error, errors.BuilderTlsError) else type(error)
        return kind(error.cause, details="\n".join(part for part in (error.details, summary(pod)) if part))

    async def _cause(self, found: Verdict) -> errors.BuilderError:
        pod = self._sentinel.pod
        if found.ended:
            self.ends.add(ended(pod, found))
        cause = await error_of(self._api, found, pod)
        if isinstance(cause, errors.BuilderCrashed):
            # It had been well: the kubelet starts it again, and the next try may find it so.
            cause = errors.BuilderDied(cause.cause, details=cause.details)
        if isinstance(cause, errors.BuilderNodeLost):
            await self._abandon(pod)
        cause.details = "\n".join(part for part in (cause.details, summary(pod)) if part)
        return cause

    def _with_memory(self, error: errors.StepFailed) -> errors.StepFailed:
        """A kernel with cgroup v1 kills the process that takes most, which is the step's: its exit code is all there is
        to see of it. With cgroup v2 all of the container is killed, and the pod tells.
        """
        pod = self._sentinel.pod
        limit = memory_limit(pod)
        if limit is None:
            return error
        where = f"the memory limit of {limit} that pod/{name_of(pod)} has"
        if isinstance(error, errors.StepOutOfMemory):
            text = f"{error.cause} at {where}"
        elif error.status == 128 + signal.SIGKILL:
            text = f"step {error.step!r} was killed (exit code {error.status}), most likely at {where}"
        else:
            return error
        return errors.StepOutOfMemory(
            text, step=error.step, status=error.status, action=_MORE_MEMORY, details=error.details
        )

    async def _node_lost(self, pod: Object, what: str) -> errors.BuilderError:
        await self._abandon(pod)
        return errors.BuilderNodeLost(f"the node of pod/{name_of(pod)} {what}", details=summary(pod))

    async def _abandon(self, pod: Object) -> None:
        """Give up a pod whose node is gone: it would stay until that node confirmed its end, and no other one come.

        A shared builder's is left to the cluster: others may reach it still.
        """
        if self._own:
            with suppress(errors.ClusterError):  # then the cluster's own patience decides
                await self._api.delete(pod, kind=POD, grace_s=0)
