"""Why a rollout does not progress, from its pods and events, as a named cause.

Statuses: core/v1 PodStatus. Reasons of waiting containers: kubelet (pkg/kubelet/images/types.go,
pkg/kubelet/kuberuntime/kuberuntime_container.go). Events: the kubelet's `Unhealthy` and `Killing`
(pkg/kubelet/events/event.go), the controllers' `FailedCreate` (pkg/controller/controller_utils.go).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prefect_slipway.infra.domain import errors
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import EVENT, Object, name_of
from prefect_slipway.infra.kubernetes.access.pods import (
    NO_VOLUME,
    PULL_REASONS,
    REFUSED_REASONS,
    condition,
    memory_limit,
)

_LOG_LINES = 20
_LOOP = "CrashLoopBackOff"
# The first restart comes at once and may help (something it needs was not there yet); the second crash is a loop.
_RESTARTS = 2
# Pull failures that another try will not fix, as containerd and registries word them.
_FOR_GOOD = re.compile(r"not found|manifest unknown|invalid", re.IGNORECASE)
# A kubelet may not have seen a pull Secret that is new: then its first try, without it, is refused, and the next one,
# 10 s later, is not.
_DENIED = re.compile(
    r"unauthori[sz]ed|denied|forbidden|no basic auth|authentication required|authorization failed|insufficient_scope",
    re.IGNORECASE,
)
_SECRET_SEEN_S = 20.0
_PULL_FOR_GOOD = {"InvalidImageName", "ErrImageNeverPull"}
_KILLED = re.compile(r"failed (liveness|startup) probe")


@dataclass(frozen=True, slots=True)
class PodFailure:
    """`cause`: the error's class; `text`: one sentence; `details`: what Kubernetes says of it.

    `pod` and `container`: whose last lines belong to it; `previous`: of the container before its restart. `may_pass`:
    it may be over in a while (a node that is still coming, old pods that still hold the quota); if so, within
    `passes_s` seconds.
    """

    cause: type[errors.RolloutError]
    text: str
    details: str = ""
    pod: Object | None = None
    container: str | None = None
    previous: bool = False
    may_pass: bool = False
    passes_s: float = math.inf


def pod_failure(pod: Object) -> PodFailure | None:
    """Why this pod does not become ready, None if there is no visible reason."""
    name = f"pod/{name_of(pod)}"
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        if (found := _container_failure(pod, container)) is not None:
            return found
    if status.get("phase") == "Failed":  # evicted, or the kubelet did not admit it: a new pod takes its place
        reason, message = str(status.get("reason") or "no reason given"), str(status.get("message") or "")
        return PodFailure(errors.RolloutRefused, f"the node rejects {name} ({reason})", message, may_pass=True)
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        message = str(scheduled.get("message") or "")
        if NO_VOLUME.search(message):
            return PodFailure(errors.RolloutVolumeMissing, f"{name} waits for its volume", message, may_pass=True)
        return PodFailure(errors.RolloutUnschedulable, f"no node can run {name}", message, may_pass=True)
    return None


def _container_failure(pod: Object, container: dict[str, Any]) -> PodFailure | None:
    if container.get("ready"):
        return None
    where = f"container {container.get('name')} of pod/{name_of(pod)}"
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    if reason in PULL_REASONS:
        image = container.get("image") or "the image"
        for_good = reason in _PULL_FOR_GOOD or _FOR_GOOD.search(message) is not None
        text = f"{where}: {image} cannot be pulled ({reason})"
        passes_s = _SECRET_SEEN_S if _DENIED.search(message) else math.inf
        return PodFailure(errors.RolloutImagePull, text, message, may_pass=not for_good, passes_s=passes_s)
    if reason in REFUSED_REASONS:
        # A Secret or ConfigMap that the pod names may still be on its way.
        return PodFailure(
            errors.RolloutRefused, f"the kubelet cannot create {where} ({reason})", message, may_pass=True
        )
    last = (container.get("lastState") or {}).get("terminated")
    ended, previous = (state["terminated"], False) if "terminated" in state else (last, True)
    if not ended or (ended.get("exitCode") == 0 and reason != _LOOP):
        return None
    which = str(container.get("name"))
    if ended.get("reason") == "OOMKilled":
        limit = memory_limit(pod, which)
        text = f"{where} was killed at its memory limit{f' of {limit}' if limit else ''} (OOMKilled)"
        return PodFailure(errors.RolloutOutOfMemory, text, pod=pod, container=which, previous=previous)
    restarts = int(container.get("restartCount") or 0)
    if reason == _LOOP or restarts >= _RESTARTS or (pod["spec"].get("restartPolicy") == "Never"):
        code = ended.get("exitCode")
        why = ended.get("reason") or "no reason given"
        text = f"{where} keeps crashing: exit code {code} ({why}), {restarts} restarts"
        return PodFailure(errors.RolloutCrashed, text, pod=pod, container=which, previous=previous)
    return None


def creation_failure(workload: Object, events: Iterable[Object], since: datetime) -> PodFailure | None:
    """Why the workload's pods are not made: a Deployment's condition, or the controllers' events since `since`."""
    name = f"{str(workload['kind']).lower()}/{name_of(workload)}"
    refused = condition(workload, "ReplicaFailure")
    if refused.get("status") == "True":
        text = f"the pods of {name} cannot be created ({refused.get('reason')})"
        return PodFailure(errors.RolloutRefused, text, str(refused.get("message") or ""), may_pass=True)
    for event in events:
        if event.get("reason") == "FailedCreate" and _seen(event) >= since:
            text = f"the pods of {name} cannot be created (FailedCreate)"
            return PodFailure(errors.RolloutRefused, text, str(event.get("message") or ""), may_pass=True)
    return None


async def probe_failure(api: KubernetesApi, pod: Object, *, killed: bool = False) -> PodFailure | None:
    """The probe that fails, as the kubelet's newest event has it. `killed`: only where it ended a container for it.

    Without the right to read events there is no failure to see.
    """
    with suppress(errors.ClusterError):
        events = await api.find(EVENT, fields=f"involvedObject.uid={pod['metadata']['uid']}")
        if killed and not any(_KILLED.search(_message(each)) for each in events if each.get("reason") == "Killing"):
            return None
        for event in sorted(events, key=_seen, reverse=True):
            message = _message(event)
            # A readiness probe's failure ends nothing.
            if event.get("reason") != "Unhealthy" or (killed and message.startswith("Readiness")):
                continue
            text = f"the {message.partition(' ')[0].lower()} probe of pod/{name_of(pod)} fails"
            statuses = (pod.get("status") or {}).get("containerStatuses") or ()
            unready = next((str(each["name"]) for each in statuses if not each.get("ready")), None)
            return PodFailure(errors.RolloutProbeFailed, text, message, pod=pod, container=unready, previous=killed)
    return None


async def error_of(api: KubernetesApi, failure: PodFailure) -> errors.RolloutError:
    """The failure as an error, with the container's last lines where they belong to it."""
    if failure.cause is errors.RolloutCrashed and failure.pod is not None:
        failure = await probe_failure(api, failure.pod, killed=True) or failure
    details = [failure.details] if failure.details else []
    if failure.pod is not None:
        with suppress(errors.ClusterError):  # the lines are an extra; the failure stands without them
            lines = await api.logs(
                name_of(failure.pod), lines=_LOG_LINES, container=failure.container, previous=failure.previous
            )
            details += ["last lines:", lines.rstrip()] if lines.strip() else ["it wrote nothing"]
    return failure.cause(failure.text, details="\n".join(details))


def _message(event: Object) -> str:
    return str(event.get("message") or "")


def _seen(event: Object) -> datetime:
    """When it was seen last."""
    series = event.get("series") or {}
    text = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return datetime.fromisoformat(text or event["metadata"]["creationTimestamp"])
