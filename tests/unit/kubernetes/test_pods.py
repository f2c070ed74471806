"""A pod's status as a named cause."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_slipway.infra.domain.errors import (
    BuilderCrashed,
    BuilderDeleted,
    BuilderError,
    BuilderEvicted,
    BuilderImagePull,
    BuilderNodeLost,
    BuilderOutOfMemory,
    BuilderRefused,
    BuilderUnschedulable,
    BuilderVolumeMissing,
)
from prefect_slipway.infra.kubernetes.access.pods import is_ready, summary, verdict


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "b-1", "uid": "u", **metadata}, "status": status}


def container(**facts: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "buildkitd", "image": "some/image:1", **facts}]}


def waiting(reason: str) -> dict[str, Any]:
    return container(state={"waiting": {"reason": reason, "message": "m"}})


def ended(reason: str, where: str = "state") -> dict[str, Any]:
    return container(**{where: {"terminated": {"reason": reason, "exitCode": 1}}})


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "reason": reason, "message": "m"}]}


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (waiting("ErrImagePull"), BuilderImagePull),
        (waiting("ImagePullBackOff"), BuilderImagePull),
        (waiting("InvalidImageName"), BuilderImagePull),
        (waiting("CreateContainerConfigError"), BuilderRefused),
        (ended("Error"), BuilderCrashed),
        (ended("Error", "lastState"), BuilderCrashed),
        (ended("OOMKilled"), BuilderOutOfMemory),
        (ended("OOMKilled", "lastState"), BuilderOutOfMemory),
        ({"phase": "Failed", "reason": "Evicted", "message": "m"}, BuilderEvicted),
        (condition("DisruptionTarget", "True", "EvictionByEvictionAPI"), BuilderEvicted),
        (condition("DisruptionTarget", "True", "PreemptionByScheduler"), BuilderEvicted),
        (condition("DisruptionTarget", "True", "DeletionByTaintManager"), BuilderNodeLost),
        (condition("DisruptionTarget", "True", "DeletionByPodGC"), BuilderNodeLost),
        ({"reason": "NodeLost"}, BuilderNodeLost),
        ({"phase": "Failed", "reason": "OutOfcpu"}, BuilderRefused),
        (condition("PodScheduled", "False", "Unschedulable"), BuilderUnschedulable),
    ],
)
def test_a_telling_status_has_a_cause(status: dict[str, Any], cause: type[BuilderError]) -> None:
    """With the pod's name in it."""
    found = verdict(pod(status))
    assert found is not None
    assert found.cause is cause
    assert "b-1" in found.text


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"phase": "Pending"},
        waiting("ContainerCreating"),
        container(state={"running": {}}),
        condition("PodScheduled", "False", "SchedulerError"),
    ],
)
def test_a_pod_on_its_way_has_none(status: dict[str, Any]) -> None:
    assert verdict(pod(status)) is None


def test_a_pod_that_is_being_deleted_is_not_ready() -> None:
    """Whatever its conditions still say; an eviction's reason is told before the deletion's."""
    ready = condition("Ready", "True", "")
    assert is_ready(pod(ready))
    gone = pod(ready, deletionTimestamp="2026-01-01T00:00:00Z")
    assert not is_ready(gone)
    found = verdict(gone)
    assert found is not None
    assert found.cause is BuilderDeleted


def test_only_a_missing_node_may_come_yet() -> None:
    """Everything else is an answer at once."""
    for status in (waiting("ErrImagePull"), ended("Error"), condition("PodScheduled", "False", "Unschedulable")):
        found = verdict(pod(status))
        assert found is not None
        assert found.may_pass is (found.cause is BuilderUnschedulable)


@pytest.mark.parametrize(
    "told",
    [
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
        'storageclass.storage.k8s.io "fast" not found',
    ],
)
def test_a_volume_that_is_missing_is_no_missing_node(told: str) -> None:
    """More nodes would not help."""
    status = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": told}]}
    found = verdict(pod(status))
    assert found is not None
    assert (found.cause, found.may_pass) == (BuilderVolumeMissing, True)


def test_the_memory_limit_is_named_as_the_pod_has_it() -> None:
    """Also where it is not Slipway that set it."""
    killed = pod(ended("OOMKilled")) | {"spec": {"containers": [{"resources": {"limits": {"memory": "64Mi"}}}]}}
    found = verdict(killed)
    assert found is not None
    assert found.text == "the daemon in pod/b-1 was killed at its memory limit of 64Mi (OOMKilled)"


def test_the_summary_names_what_people_look_for() -> None:
    text = summary(pod({"phase": "Running"} | waiting("CrashLoopBackOff")))
    assert text == "pod/b-1: phase Running, container waiting (CrashLoopBackOff)"
