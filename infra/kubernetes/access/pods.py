"""Problems in a pod's status, as named causes.

Statuses: core/v1 PodStatus; reasons of waiting containers: kubelet (pkg/kubelet/images/types.go,
pkg/kubelet/kuberuntime/kuberuntime_container.go); reasons of the condition DisruptionTarget:
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.kubernetes.access.kinds import Object, name_of

PULL_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
REFUSED_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"}
_NODE_GONE = {"NodeLost", "NodeShutdown", "Terminated"}
# Reasons of DisruptionTarget (Kubernetes' documentation, "Disruptions"): the node does not answer, or is no more.
_NODE_DISRUPTIONS = {"DeletionByTaintManager", "DeletionByPodGC"}
_UNSCHEDULABLE = "Unschedulable"
NO_VOLUME = re.compile(r"unbound immediate PersistentVolumeClaims|storageclass", re.IGNORECASE)
"""What the scheduler says of a claim that nothing is bound to (pkg/scheduler/framework/plugins/volumebinding)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`cause`: the error's class; `text`: one sentence; `details`: what Kubernetes says of it. `wants_log`: the
    container's last lines belong to it; `previous`: of the container before its restart. `may_pass`: it may be over
    in a while (a node that is still coming). `ended`: when the container ended, "" if it did not; `again`: it runs now.
    """

    cause: type[errors.BuilderError]
    text: str
    details: str = ""
    wants_log: bool = False
    previous: bool = False
    may_pass: bool = False
    ended: str = ""
    again: bool = False


def is_ready(pod: Object) -> bool:
    return not pod["metadata"].get("deletionTimestamp") and condition(pod, "Ready").get("status") == "True"


def verdict(pod: Object) -> Verdict | None:
    """Why this pod does not run, None if there is no visible reason."""
    name = f"pod/{name_of(pod)}"
    status = pod.get("status") or {}
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    if reason in _NODE_GONE:
        return Verdict(errors.BuilderNodeLost, f"the node of {name} is gone ({reason})", message)
    disrupted = condition(pod, "DisruptionTarget")
    if reason == "Evicted" or (disrupted.get("status") == "True"):
        why = str(disrupted.get("reason") or reason)
        cause = errors.BuilderNodeLost if why in _NODE_DISRUPTIONS else errors.BuilderEvicted
        told = message or str(disrupted.get("message") or "")
        return Verdict(cause, f"{name} was evicted ({why})", told, wants_log=cause is errors.BuilderEvicted)
    container: dict[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    if (found := _container_verdict(name, container, memory_limit(pod))) is not None:
        return found
    if pod["metadata"].get("deletionTimestamp"):
        return Verdict(errors.BuilderDeleted, f"{name} is being deleted", wants_log=True)
    if status.get("phase") == "Failed":  # the kubelet did not admit it: OutOfcpu, NodeAffinity ...
        return Verdict(errors.BuilderRefused, f"the node rejects {name} ({reason or 'no reason given'})", message)
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == _UNSCHEDULABLE:
        told = str(scheduled.get("message") or "")
        if NO_VOLUME.search(told):
            return Verdict(errors.BuilderVolumeMissing, f"{name} waits for its volume", told, may_pass=True)
        return Verdict(errors.BuilderUnschedulable, f"no node can run {name}", told, may_pass=True)
    return None


def _container_verdict(name: str, container: dict[str, Any], limit: str | None) -> Verdict | None:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    if reason in PULL_REASONS:
        image = container.get("image") or "its image"
        return Verdict(errors.BuilderImagePull, f"{name}: {image} cannot be pulled ({reason})", message)
    if reason in REFUSED_REASONS:
        return Verdict(errors.BuilderRefused, f"the kubelet cannot create the container of {name} ({reason})", message)
    last = container.get("lastState") or {}
    ended, previous = (state["terminated"], False) if "terminated" in state else (last.get("terminated"), True)
    if not ended:
        return None
    if ended.get("reason") == "OOMKilled":
        cause: type[errors.BuilderError] = errors.BuilderOutOfMemory
        how = f"was killed at its memory limit{f' of {limit}' if limit else ''} (OOMKilled)"
    else:
        cause = errors.BuilderCrashed
        how = f"ended with exit code {ended.get('exitCode')} ({ended.get('reason') or 'no reason given'})"
    return Verdict(
        cause,
        f"the daemon in {name} {how}",
        wants_log=True,
        previous=previous,
        ended=str(ended.get("finishedAt") or ""),
        again="running" in state,
    )


def memory_limit(pod: Object, container: str | None = None) -> str | None:
    """The limit of a container (None: of the first), as its pod has it: a LimitRange may have added one."""
    for each in (pod.get("spec") or {}).get("containers") or ():
        if container in {None, each.get("name")}:
            return ((each.get("resources") or {}).get("limits") or {}).get("memory")
    return None


def restarts(pod: Object) -> int:
    """How often its containers were started again."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return sum(int(status.get("restartCount") or 0) for status in statuses)


def summary(pod: Object) -> str:
    """The pod's status in a line, for people."""
    status = pod.get("status") or {}
    parts = [f"phase {status.get('phase', 'unknown')}"]
    for container in status.get("containerStatuses") or ():
        for state, facts in (container.get("state") or {}).items():
            parts.append(f"container {state}" + (f" ({facts['reason']})" if (facts or {}).get("reason") else ""))
        if container.get("restartCount"):
            parts.append(f"{container['restartCount']} restarts")
    for condition in status.get("conditions") or ():
        if condition.get("status") == "False" and condition.get("reason"):
            parts.append(f"{condition['type']}: {condition['reason']}")
    if pod["metadata"].get("deletionTimestamp"):
        parts.append("being deleted")
    return f"pod/{name_of(pod)}: " + ", ".join(parts)


def condition(obj: Object, kind: str) -> dict[str, Any]:
    """An object's condition of this kind, {} if it has none."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})
