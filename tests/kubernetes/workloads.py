"""Controllers of a small Kubernetes in this process for workloads of any kind: their pods "run" as their images behave.

What goes wrong is what a kubelet would say: an image that ends, is killed, never gets ready, cannot be pulled with the
Secrets the pod has; a quota; a node selector that no node meets. A StatefulSet waits for its broken pod, as a real one.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import itertools
import json
from collections.abc import Callable, Coroutine
from typing import Any

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.kubernetes.access.docker_config import parse_docker_config
from tests.kubernetes.controller import _condition, _dependent
from tests.kubernetes.rollout_parts import LAST_WORDS, READY
from tests.kubernetes.store import Key, Object, Store

_KINDS = ("deployments", "statefulsets", "daemonsets")
_START_S = 0.05
_THINK_S = 0.02
_NODES = 1
_numbers = itertools.count(1)


class WorkloadController:
    """`behaviour`: of an image by its reference, None for one that no registry has. `pulls_with`: what the registries
    ask for.
    """

    def __init__(self, store: Store, behaviour: Callable[[str], str | None], pulls_with: Credential | None) -> None:
        self._store = store
        self._behaviour = behaviour
        self.pulls_with = pulls_with
        self._tasks: set[asyncio.Task[None]] = set()
        self._progress: dict[Key, object] = {}
        self._thinking: set[Key] = set()

    def admitted(self, key: Key, obj: Object) -> Object:
        """The object as the API server completes it."""
        made = copy.deepcopy(obj)
        if key[0] in {*_KINDS, "cronjobs"}:
            made["metadata"]["generation"] = 1
        return made

    def log(self, key: Key) -> str:
        behaviour = self._behaviour(self._store.get(key)["spec"]["containers"][0]["image"])
        return {"crashing": f"{LAST_WORDS}\n", "unready": "not yet\n", "greedy": ""}.get(str(behaviour), "hello\n")

    async def reconcile(self) -> None:
        for key, obj in list(self._store.objects.items()):
            if key[0] in _KINDS and not obj["metadata"].get("deletionTimestamp"):
                self._roll(key, obj)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _roll(self, key: Key, workload: Object) -> None:
        generation, status = workload["metadata"].get("generation", 1), workload.get("status") or {}
        if key[0] == "deployments" and status and status["observedGeneration"] != generation:
            # Seen, and nothing done yet: what was said of the rollout before still stands.
            self._store.update(key, lambda obj: obj["status"].update(observedGeneration=generation))
            self._thinking.add(key)
            self._later(self._think(key))
        if key in self._thinking:
            return
        spec, template = workload["spec"], workload["spec"]["template"]
        wanted = _NODES if key[0] == "daemonsets" else spec.get("replicas", 1)
        pods = self._pods_of(workload)
        new = {each: pod for each, pod in pods.items() if pod["spec"] == template["spec"]}
        old = {each: pod for each, pod in pods.items() if each not in new}
        if key[0] == "statefulsets":
            refused = self._roll_in_order(key, workload, pods)
            fresh = {each: pod for each, pod in self._pods_of(workload).items() if pod["spec"] == template["spec"]}
        else:
            refused = any(not self._make(key, workload, template) for _ in range(wanted - len(new)))
            # As with maxSurge 1 and maxUnavailable 0: an old pod goes when a new one is ready.
            for each in list(old)[: len(old) - (wanted - sum(map(_ready, new.values())))]:
                self._store.delete(each, foreground=False)
            for each in list(new)[wanted:]:
                self._store.delete(each, foreground=False)
            fresh = new
        there = self._pods_of(workload)
        self._set_status(key, workload, wanted, there, fresh, refused=refused)

    def _pods_of(self, workload: Object) -> dict[Key, Object]:
        return {key: obj for key, obj in self._store.dependents(workload) if key[0] == "pods"}

    def _roll_in_order(self, key: Key, workload: Object, pods: dict[Key, Object]) -> bool:
        """From the highest number down, one at a time, and none before all others are ready."""
        spec, template = workload["spec"], workload["spec"]["template"]
        partition = ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0
        for number in range(spec.get("replicas", 1)):
            pod_key = ("pods", key[1], f"{key[2]}-{number}")
            if pod_key not in pods:
                return not self._make(key, workload, template, pod_key[2])
            if not _ready(pods[pod_key]):
                return False
        for number in reversed(range(partition, spec.get("replicas", 1))):
            pod_key = ("pods", key[1], f"{key[2]}-{number}")
            if pods[pod_key]["spec"] != template["spec"]:
                self._store.delete(pod_key, foreground=False)
                return False
        return False

    def _make(self, key: Key, workload: Object, template: Object, name: str | None = None) -> bool:
        """Make a pod; False if a quota forbids it."""
        if any(quota["spec"]["hard"].get("pods") == "0" for _, quota in self._store.select("resourcequotas", key[1])):
            if key[0] != "deployments":
                self._tell(key[1], workload, "FailedCreate", 'create Pod failed: pods "x" is forbidden: exceeded quota')
            return False
        pod_key = ("pods", key[1], name or f"{key[2]}-{next(_numbers):05d}")
        metadata = {**template["metadata"], "name": pod_key[2]}
        pod = _dependent("v1", "Pod", metadata, workload) | {"spec": copy.deepcopy(template["spec"])}
        self._store.create(pod_key, pod | {"status": {"phase": "Pending", "conditions": []}})
        self._later(self._start(pod_key))
        return True

    async def _start(self, key: Key) -> None:
        await asyncio.sleep(_START_S)
        if key not in self._store.objects:
            return
        pod = self._store.get(key)
        image = pod["spec"]["containers"][0]["image"]
        status: dict[str, Any] = {"name": pod["spec"]["containers"][0]["name"], "image": image, "restartCount": 0}
        if pod["spec"].get("nodeSelector"):
            self._set(key, conditions=[_condition("PodScheduled", "False", "Unschedulable", "0/1 nodes match")])
            return
        behaviour = self._behaviour(image)
        if behaviour is None or not self._may_pull(key[1], pod):
            said = "401 Unauthorized" if behaviour else "not found"
            waiting = {"reason": "ErrImagePull", "message": f'failed to pull image "{image}": {said}'}
            self._set(key, containerStatuses=[status | {"ready": False, "state": {"waiting": waiting}}])
            return
        running = {"ready": True, "state": {"running": {}}}
        if behaviour in {"crashing", "greedy", "dying"}:
            reason = {"crashing": ("Error", 3), "greedy": ("OOMKilled", 137), "dying": ("Error", 137)}[behaviour]
            ended = {"terminated": {"reason": reason[0], "exitCode": reason[1]}}
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}
            self._set(
                key,
                phase="Running",
                containerStatuses=[
                    status | {"ready": False, "restartCount": 2, "lastState": ended, "state": {"waiting": waiting}}
                ],
            )
            if behaviour == "dying":
                self._tell(key[1], pod, "Unhealthy", "Liveness probe failed: ")
                self._tell(key[1], pod, "Killing", "Container app failed liveness probe, will be restarted")
            return
        if behaviour == "unready" and "readinessProbe" in pod["spec"]["containers"][0]:
            self._set(key, phase="Running", containerStatuses=[status | running | {"ready": False}])
            self._tell(key[1], pod, "Unhealthy", f"Readiness probe failed: no {READY}")
            return
        ready = [_condition("Ready", "True", "")]
        self._set(key, phase="Running", conditions=ready, containerStatuses=[status | running])

    def _may_pull(self, namespace: str, pod: Object) -> bool:
        if self.pulls_with is None:
            return True
        host = pod["spec"]["containers"][0]["image"].partition("/")[0]
        for named in pod["spec"].get("imagePullSecrets") or ():
            secret = self._store.objects.get(("secrets", namespace, named["name"])) or {}
            text = base64.b64decode((secret.get("data") or {}).get(".dockerconfigjson") or "").decode()
            if text and parse_docker_config(text).get(host) == self.pulls_with:
                return True
        return False

    def _set(self, key: Key, **changes: Any) -> None:
        self._store.update(key, lambda pod: pod["status"].update(changes))

    def _set_status(
        self, key: Key, workload: Object, wanted: int, pods: dict[Key, Object], new: dict[Key, Object], *, refused: bool
    ) -> None:
        new_ready = sum(map(_ready, new.values()))
        status: Object = {"observedGeneration": workload["metadata"].get("generation", 1)}
        if key[0] == "daemonsets":
            status |= {
                "desiredNumberScheduled": wanted,
                "updatedNumberScheduled": len(new),
                "numberAvailable": sum(map(_ready, pods.values())),
            }
        else:
            ready = sum(map(_ready, pods.values()))
            status |= {
                "replicas": len(pods),
                "updatedReplicas": len(new),
                "readyReplicas": ready,
                "availableReplicas": ready,
            }
        if key[0] == "statefulsets":
            revision = json.dumps(workload["spec"]["template"]["spec"], sort_keys=True)
            done = len(new) == len(pods) == wanted and new_ready == wanted
            before = (workload.get("status") or {}).get("currentRevision", revision)
            status |= {"updateRevision": revision, "currentRevision": revision if done else before}
        if key[0] == "deployments":
            before = workload.get("status") or {}
            status["conditions"] = [_progress(workload, before, status, wanted)]
            if status["conditions"] != before.get("conditions"):
                self._watch_progress(key, workload["spec"].get("progressDeadlineSeconds", 600))
            if refused:
                message = (
                    'pods "x" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0'
                )
                status["conditions"].append(_condition("ReplicaFailure", "True", "FailedCreate", message))
        self._store.update(key, lambda obj: obj.update(status=status))

    def _watch_progress(self, key: Key, deadline_s: float) -> None:
        """After its deadline without any progress a Deployment is said to be too slow."""

        async def watch() -> None:
            uid, seen = self._store.get(key)["metadata"]["uid"], self._progress.get(key)
            await asyncio.sleep(deadline_s)
            there = self._store.objects.get(key)
            if there is None or there["metadata"]["uid"] != uid or self._progress.get(key) is not seen:
                return
            if there["status"]["conditions"][0]["reason"] == "ReplicaSetUpdated":
                late = _condition("Progressing", "False", "ProgressDeadlineExceeded")
                self._store.update(key, lambda obj: obj["status"].update(conditions=[late]))

        self._progress[key] = object()
        self._later(watch())

    async def _think(self, key: Key) -> None:
        await asyncio.sleep(_THINK_S)
        self._thinking.discard(key)
        self._store.on_change()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, namespace: str, about: Object, reason: str, message: str) -> None:
        """An event, once."""
        name = f"{about['metadata']['name']}.{reason.lower()}"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name},
            "involvedObject": {"uid": about["metadata"]["uid"], "name": about["metadata"]["name"]},
            "reason": reason,
            "message": message,
        }
        if ("events", namespace, name) not in self._store.objects:
            self._store.create(("events", namespace, name), event)


def _progress(workload: Object, before: Object, status: Object, wanted: int) -> dict[str, str]:
    """The condition Progressing (kubernetes, pkg/controller/deployment/progress.go): as it was where nothing got on."""
    counts = ("updatedReplicas", "readyReplicas", "availableReplicas")
    if status["replicas"] == status["updatedReplicas"] == status["availableReplicas"] == wanted:
        return _condition("Progressing", "True", "NewReplicaSetAvailable")
    old = status["replicas"] - status["updatedReplicas"] < before.get("replicas", 0) - before.get("updatedReplicas", 0)
    if not before or old or any(status[each] > before.get(each, 0) for each in counts):
        return _condition("Progressing", "True", "ReplicaSetUpdated")
    there: dict[str, str] = before["conditions"][0]
    if there["reason"] == "NewReplicaSetAvailable":  # a rollout that begins
        return _condition("Progressing", "True", "ReplicaSetUpdated")
    return there


def _ready(pod: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions") or ())
