"""Watch a rollout until it is complete and stays complete, or until it is clear that it never will be.

When a rollout is complete is kubectl's rule for each kind (kubectl, pkg/polymorphichelpers/rollout_status.go). A
CronJob rolls nothing out: its next job takes the new image.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prefect_slipway.infra.domain.errors import (
    ObjectMissing,
    RolloutDeadline,
    RolloutError,
    RolloutImpossible,
    RolloutSuperseded,
)
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    EVENT,
    POD,
    STATEFUL_SET,
    Object,
)
from prefect_slipway.infra.kubernetes.access.pods import condition, is_ready, summary
from prefect_slipway.infra.kubernetes.workloads.pod_failures import (
    PodFailure,
    creation_failure,
    error_of,
    pod_failure,
    probe_failure,
)
from prefect_slipway.infra.kubernetes.workloads.workload import WorkloadState, pod_template

_DEADLINE = "ProgressDeadlineExceeded"
_NOT_SEEN = "its controller to see the change"


@dataclass(frozen=True, slots=True)
class RolloutRules:
    """`timeout_s`: seconds until the rollout has to be complete. `settle_s`: seconds for which it has to stay complete
    (a pod without a readiness probe counts as ready as soon as it starts). `patience_s`: seconds for which what may
    pass by itself is waited for: no node, a quota that old pods still hold, a registry that does not answer.
    """

    timeout_s: float = 600.0
    settle_s: float = 10.0
    patience_s: float = 60.0


def check_rolls(state: WorkloadState) -> None:
    """Raises RolloutImpossible for a workload that does not replace its pods automatically."""
    spec = state.obj["spec"]
    if state.name.kind is DEPLOYMENT and spec.get("paused"):
        raise RolloutImpossible(
            f"{state.name} is paused: it would not roll out", action=f"kubectl rollout resume {state.name}"
        )
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        raise RolloutImpossible(
            f"{state.name} has the update strategy OnDelete: it would not roll out",
            action="give it the strategy RollingUpdate",
        )


def waiting_for(obj: Object) -> str | None:
    """What a workload's rollout still waits for, None if it is complete."""
    spec, status = obj["spec"], obj.get("status") or {}
    if obj["kind"] == CRON_JOB.name:
        return None
    if int(status.get("observedGeneration") or 0) < int(obj["metadata"].get("generation") or 0):
        return _NOT_SEEN
    if obj["kind"] == DAEMON_SET.name:
        wanted = int(status.get("desiredNumberScheduled") or 0)
        return _count(status, "updatedNumberScheduled", wanted, "updated") or _count(
            status, "numberAvailable", wanted, "available"
        )
    wanted = int(spec["replicas"]) if spec.get("replicas") is not None else 1
    updated = int(status.get("updatedReplicas") or 0)
    if obj["kind"] == STATEFUL_SET.name:
        return _stateful_waits(obj, wanted, updated)
    if updated < wanted:
        return f"pods to be updated ({updated} of {wanted})"
    if (there := int(status.get("replicas") or 0)) > updated:
        return f"old pods to end ({there - updated})"
    return _count(status, "availableReplicas", updated, "available")


def _stateful_waits(obj: Object, wanted: int, updated: int) -> str | None:
    status = obj.get("status") or {}
    if (waits := _count(status, "readyReplicas", wanted, "ready")) is not None:
        return waits
    if partition := _partition(obj):
        return _count(status, "updatedReplicas", max(wanted - partition, 0), "updated")
    if status.get("updateRevision") != status.get("currentRevision"):
        return f"pods to be updated ({updated} of {wanted})"
    return None


def _partition(obj: Object) -> int:
    """Pods of a StatefulSet with a lower number keep their template."""
    rolling = (obj["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def _ordinal(pod: str) -> int:
    number = pod.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _count(status: Object, key: str, wanted: int, what: str) -> str | None:
    there = int(status.get(key) or 0)
    return f"pods to be {what} ({there} of {wanted})" if there < wanted else None


async def watch_rollout(
    api: KubernetesApi,
    state: WorkloadState,
    rules: RolloutRules,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Return when the image in `state` has been rolled out for `rules.settle_s`. `say` receives the progress.

    Raises the RolloutError that says why it will not be; RolloutSuperseded if somebody sets another image meanwhile,
    and ObjectMissing if somebody deletes the workload.
    """
    if state.name.kind is CRON_JOB:
        return  # the API server has stored it, and that is all there is to see
    watch = _Watch(api, state, rules, say)
    try:
        async with asyncio.timeout(rules.timeout_s):
            await watch.run()
    except TimeoutError as error:
        raise await watch.overdue(f"within {rules.timeout_s:g} s") from error


@dataclass
class _Watch:
    api: KubernetesApi
    state: WorkloadState
    rules: RolloutRules
    say: Callable[[str], None]
    workload: Object | None = None
    pods: dict[str, Object] = field(default_factory=dict)
    events: dict[str, Object] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _failing_since: float | None = None
    _patience_s: float = 0.0
    _complete_since: float | None = None
    _told: str = ""
    _deleted: set[str] = field(default_factory=set)
    _stale: Object = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stale = self.state.stale

    async def run(self) -> None:
        name, uid = self.state.name, self.state.obj["metadata"]["uid"]
        since = self.api.now() - timedelta(seconds=2)  # events are dated in whole seconds
        watches: list[Coroutine[Any, Any, None]] = [
            self._follow(self.api.follow(name.kind, name=name.name), self._see_workload),
            self._follow(self.api.follow(POD, selector=_selector(self.state.obj)), self._see_pods),
        ]
        if name.kind is not DEPLOYMENT:  # which says it in a condition
            watches.append(self._follow(self.api.follow(EVENT, fields=f"involvedObject.uid={uid}"), self._see_events))
        tasks = [asyncio.create_task(watch) for watch in watches]
        for task in tasks:
            task.add_done_callback(lambda _: self.changed.set())
        try:
            while not await self._complete(since):
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_again_s()):
                        await self.changed.wait()
                self.changed.clear()
                for task in tasks:
                    if task.done():
                        task.result()  # a watch ends by its error alone
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def overdue(self, within: str) -> RolloutError:
        """The most likely reason why it is not complete."""
        for pod in self._own_pods():
            failure = pod_failure(pod)
            if failure is None and not is_ready(pod):
                failure = await probe_failure(self.api, pod)
            if failure is not None:
                return await error_of(self.api, failure)
        waits = waiting_for(self.workload) if self.workload is not None else "the API server"
        return RolloutDeadline(
            f"{self.state.name} is not rolled out {within}: it waits for {waits or 'an unknown reason'}",
            details="\n".join(summary(pod) for pod in self._own_pods()) or "it has no new pods",
        )

    async def _complete(self, since: datetime) -> bool:
        """Whether it is, and has been for long enough. Raises as soon as it cannot be any more."""
        if self.workload is None:
            return False
        if self.state.name.kind is STATEFUL_SET:
            await self._unblock()
        now = asyncio.get_running_loop().time()
        waits = waiting_for(self.workload)
        failure = self._failure(since)
        if waits is None and failure is None:
            self._failing_since = None
            if self._complete_since is None:
                self._complete_since = now
                self._tell(f"complete; checking for {self.rules.settle_s:g} s that it stays so")
            return now - self._complete_since >= self.rules.settle_s
        self._complete_since = None
        if waits is not None:
            self._tell(f"waiting for {waits}")
        if self._too_slow(waits):
            raise await self.overdue("within its progressDeadlineSeconds")
        if failure is None:
            self._failing_since = None
            return False
        if self._failing_since is None:
            self._failing_since = now
        self._patience_s = min(self.rules.patience_s, failure.passes_s)
        if not failure.may_pass or now - self._failing_since >= self._patience_s:
            raise await error_of(self.api, failure)
        return False

    def _too_slow(self, waits: str | None) -> bool:
        """Whether its controller says so of this rollout. What it said of the one before stands until this one gets on,
        also when it has seen the change (kubernetes, pkg/controller/deployment/progress.go, syncRolloutStatus)."""
        assert self.workload is not None
        told = condition(self.workload, "Progressing")
        if waits == _NOT_SEEN:
            self._stale = told
        return told.get("reason") == _DEADLINE and told != self._stale

    async def _unblock(self) -> None:
        """Delete what a StatefulSet waits for in vain: a broken pod of an earlier template (its documentation, "Forced
        rollback")."""
        partition = _partition(self.state.obj)
        wanted = pod_template(self.state.obj)["spec"]
        for name, pod in self.pods.items():
            if _ordinal(name) < partition or pod["metadata"].get("deletionTimestamp"):
                continue
            uid = pod["metadata"]["uid"]
            if uid not in self._deleted and not _made_from(wanted, pod["spec"]) and pod_failure(pod) is not None:
                self._deleted.add(uid)
                self._tell(f"deleting pod/{name}, which is broken and outdated")
                await self.api.delete(pod, kind=POD)

    def _failure(self, since: datetime) -> PodFailure | None:
        """What cannot pass comes first."""
        assert self.workload is not None
        found = [failure for pod in self._own_pods() if (failure := pod_failure(pod)) is not None]
        if (refused := creation_failure(self.workload, self.events.values(), since)) is not None:
            found.append(refused)
        return min(found, key=lambda failure: failure.may_pass, default=None)

    def _tell(self, news: str) -> None:
        if news != self._told:
            self._told = news
            self.say(f"{self.state.name}: {news}")

    def _look_again_s(self) -> float | None:
        """Seconds until time alone changes something, None if it does not."""
        now = asyncio.get_running_loop().time()
        if self._complete_since is not None:
            return max(0.0, self._complete_since + self.rules.settle_s - now)
        if self._failing_since is not None:
            return max(0.0, self._failing_since + self._patience_s - now)
        return None

    def _own_pods(self) -> list[Object]:
        """The pods that were made for this image, the one that its controller replaces already aside."""
        wanted = pod_template(self.state.obj)["spec"]
        pods = [pod for _, pod in sorted(self.pods.items()) if not pod["metadata"].get("deletionTimestamp")]
        return [pod for pod in pods if _made_from(wanted, pod["spec"])]

    async def _follow(
        self, changes: AsyncGenerator[dict[str, Object], None], see: Callable[[dict[str, Object]], None]
    ) -> None:
        async with aclosing(changes):
            async for objects in changes:
                see(objects)
                self.changed.set()

    def _see_workload(self, objects: dict[str, Object]) -> None:
        name = self.state.name
        there = objects.get(name.name)
        if there is None or there["metadata"]["uid"] != self.state.obj["metadata"]["uid"]:
            raise ObjectMissing(f"{name} was deleted while it was rolled out", action="create it again, then deploy")
        if (image := _image(there, self.state.container)) != self.state.image:
            raise RolloutSuperseded(f"somebody set another image in the meantime: {name} runs {image}")
        if int(there["metadata"].get("generation") or 0) >= self.state.generation:
            self.workload = {"apiVersion": name.kind.api, "kind": name.kind.name, **there}

    def _see_pods(self, objects: dict[str, Object]) -> None:
        self.pods = objects

    def _see_events(self, objects: dict[str, Object]) -> None:
        self.events = objects


def _image(obj: Object, container: str) -> str | None:
    spec = pod_template(obj)["spec"]
    found = [*spec["containers"], *(spec.get("initContainers") or ())]
    return next((each["image"] for each in found if each["name"] == container), None)


def _made_from(wanted: Object, pod: Object) -> bool:
    """Whether a pod has the images and the pull Secrets of the template: those are what a deploy changes."""
    images = {each["name"]: each["image"] for each in pod.get("containers") or ()}
    secrets = {each["name"] for each in pod.get("imagePullSecrets") or ()}
    return all(images.get(each["name"]) == each["image"] for each in wanted["containers"]) and secrets >= {
        each["name"] for each in wanted.get("imagePullSecrets") or ()
    }


def _selector(obj: Object) -> str:
    """The workload's selector as the API's query has it."""
    selector = obj["spec"]["selector"]
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or ():
        values = f"({','.join(rule.get('values') or ())})"
        parts.append(
            {
                "In": f"{rule['key']} in {values}",
                "NotIn": f"{rule['key']} notin {values}",
                "Exists": rule["key"],
                "DoesNotExist": f"!{rule['key']}",
            }[rule["operator"]]
        )
    return ",".join(parts)
