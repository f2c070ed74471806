"""When a rollout is complete, and what a pod's status says of one that is not."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_slipway.infra.domain.errors import (
    InvalidOption,
    RolloutCrashed,
    RolloutError,
    RolloutImagePull,
    RolloutOutOfMemory,
    RolloutRefused,
    RolloutUnschedulable,
)
from prefect_slipway.infra.kubernetes.access.kinds import CRON_JOB, DAEMON_SET, DEPLOYMENT, STATEFUL_SET, Kind, Object
from prefect_slipway.infra.kubernetes.workloads.pod_failures import creation_failure, pod_failure
from prefect_slipway.infra.kubernetes.workloads.rollout import waiting_for
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName


def workload(kind: str, spec: Object, **status: Any) -> Object:
    return {"kind": kind, "metadata": {"name": "app", "generation": 2}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "waits"),
    [
        ("Deployment", {"replicas": 2}, {"observedGeneration": 1}, "its controller to see the change"),
        ("Deployment", {"replicas": 2}, {"updatedReplicas": 1, "replicas": 2}, "updated (1 of 2)"),
        ("Deployment", {"replicas": 2}, {"updatedReplicas": 2, "replicas": 3}, "old pods to end (1)"),
        ("Deployment", {}, {"updatedReplicas": 1, "replicas": 1}, "available (0 of 1)"),
        ("Deployment", {}, {"updatedReplicas": 1, "replicas": 1, "availableReplicas": 1}, None),
        ("Deployment", {"replicas": 0}, {}, None),
        ("StatefulSet", {"replicas": 2}, {"readyReplicas": 1}, "ready (1 of 2)"),
        (
            "StatefulSet",
            {"replicas": 2},
            {"readyReplicas": 2, "updatedReplicas": 1, "updateRevision": "b", "currentRevision": "a"},
            "updated (1 of 2)",
        ),
        ("StatefulSet", {"replicas": 2}, {"readyReplicas": 2, "updateRevision": "b", "currentRevision": "b"}, None),
        (
            "StatefulSet",
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            {"readyReplicas": 3, "updatedReplicas": 0, "updateRevision": "b", "currentRevision": "a"},
            "updated (0 of 1)",
        ),
        (
            "StatefulSet",
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            {"readyReplicas": 3, "updatedReplicas": 1, "updateRevision": "b", "currentRevision": "a"},
            None,
        ),
        ("DaemonSet", {}, {"desiredNumberScheduled": 3, "updatedNumberScheduled": 2}, "updated (2 of 3)"),
        (
            "DaemonSet",
            {},
            {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2},
            "available (2 of 3)",
        ),
        (
            "DaemonSet",
            {},
            {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3},
            None,
        ),
        ("CronJob", {}, {"observedGeneration": 0}, None),
    ],
)
def test_a_rollout_is_complete_as_kubectl_sees_it(kind: str, spec: Object, status: Object, waits: str | None) -> None:
    """Each kind by its own counts, and only once its controller has seen the change."""
    found = waiting_for(workload(kind, spec, **{"observedGeneration": 2, **status}))
    assert (found is None) if waits is None else (found is not None and waits in found)


def pod(container: Object | None = None, **status: Any) -> Object:
    statuses = [{"name": "app", "image": "r/app", "ready": False, **container}] if container else []
    return {"metadata": {"name": "p"}, "spec": {}, "status": {"containerStatuses": statuses, **status}}


def waiting(reason: str, message: str = "", **more: Any) -> Object:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


ENDED: Object = {"lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}
KILLED: Object = {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}


@pytest.mark.parametrize(
    ("there", "cause", "may_pass"),
    [
        (pod(waiting("ContainerCreating")), None, False),
        (pod(waiting("ErrImagePull", "dial tcp: connection refused")), RolloutImagePull, True),
        (pod(waiting("ImagePullBackOff", "Back-off pulling image")), RolloutImagePull, True),
        (pod(waiting("ErrImagePull", "401 Unauthorized")), RolloutImagePull, True),
        (pod(waiting("ErrImagePull", "r/app@sha256:0: not found")), RolloutImagePull, False),
        (pod(waiting("InvalidImageName")), RolloutImagePull, False),
        (pod(waiting("CreateContainerConfigError", 'secret "x" not found')), RolloutRefused, True),
        (pod({"state": {"running": {}}, "restartCount": 1, **ENDED}), None, False),
        (pod({"state": {"running": {}}, "restartCount": 2, **ENDED}), RolloutCrashed, False),
        (pod({"state": {"running": {}}, "restartCount": 9, **ENDED, "ready": True}), None, False),
        (pod(waiting("CrashLoopBackOff", restartCount=1, **ENDED)), RolloutCrashed, False),
        (pod({"state": {"running": {}}, "restartCount": 1, **KILLED}), RolloutOutOfMemory, False),
        (pod(phase="Failed", reason="Evicted"), RolloutRefused, True),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]),
            RolloutUnschedulable,
            True,
        ),
    ],
)
def test_a_pods_status_is_a_named_cause(there: Object, cause: type[RolloutError] | None, may_pass: bool) -> None:
    """What another try will not mend is told at once; one crash is not yet a loop."""
    found = pod_failure(there)
    assert (found.cause, found.may_pass) == (cause, may_pass) if found is not None else cause is None


def test_a_refused_pull_may_pass_once_the_kubelet_has_seen_the_secret() -> None:
    """It tries again after 10 s; a registry that is slow or away has all the patience there is."""
    denied, slow = (pod_failure(pod(waiting("ErrImagePull", said))) for said in ("no basic auth credentials", "EOF"))
    assert denied is not None and slow is not None
    assert 10.0 < denied.passes_s < 30.0
    assert slow.passes_s == math.inf


def test_an_init_container_counts_as_well() -> None:
    """Its name is said, and its last lines are those to be read."""
    failed = {"name": "migrate", "ready": False, **waiting("CrashLoopBackOff", restartCount=3, **ENDED)}
    found = pod_failure(pod(waiting("PodInitializing"), initContainerStatuses=[failed]))
    assert found is not None
    assert (found.cause, found.container, found.previous) == (RolloutCrashed, "migrate", True)
    assert "exit code 3" in found.text


def test_only_a_fresh_refusal_counts() -> None:
    """An event from before this rollout is none of its troubles."""
    since = datetime(2026, 1, 2, tzinfo=UTC)
    old, new = ({"reason": "FailedCreate", "lastTimestamp": (since + timedelta(hours=h)).isoformat()} for h in (-1, 1))
    there = workload("StatefulSet", {})
    assert creation_failure(there, [old], since) is None
    assert creation_failure(there, [old, new], since) is not None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("deployment/app", DEPLOYMENT),
        ("deploy/app", DEPLOYMENT),
        ("StatefulSet/app", STATEFUL_SET),
        ("ds/app", DAEMON_SET),
        ("cronjob.batch/app", CRON_JOB),
    ],
)
def test_a_workload_is_named_as_kubectl_lets_it_be(text: str, kind: Kind) -> None:
    """One name of many ways to write it."""
    assert WorkloadName.parse(text) == WorkloadName(kind, "app")
    assert str(WorkloadName.parse(text)) == f"{kind.name.lower()}/app"


@pytest.mark.parametrize("text", ["app", "pod/app", "deployment/", "deployment/a/b", ""])
def test_what_is_no_workload_is_refused(text: str) -> None:
    """With the ways to write one."""
    with pytest.raises(InvalidOption, match="workload") as raised:
        WorkloadName.parse(text)
    assert "deployment/NAME" in raised.value.action
