"""What makes a Deployment's pods "run": as a real BuildKit (a Docker engine's) behind the pod's own mutual TLS.

There is a node of each architecture: the pod of a Deployment that selects one lists that as its own platform.

What goes wrong is asked for as of a real cluster: an image that nobody has, a node selector that no node meets, a
quota, an image that is not made for the pod's user.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import hashlib
import itertools
import json
import os
import ssl
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.declaring import declaring
from tests.kubernetes.store import Key, Object, Refused, Store

PORT = 1234
_UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"
_KNOWN_IMAGES = "docker.io/moby/buildkit:"
# buildkitd's own words where it runs without rights and without rootlesskit.
_NOT_ROOTLESS = "buildkitd: rootless mode requires to be executed as the mapped root in a user namespace"
_RESTART_S = 0.3
_addresses = itertools.count(1)


class Controller:
    def __init__(self, store: Store, engine: Path | None) -> None:
        self._store = store
        self._engine = engine
        self._running: dict[str, tuple[list[asyncio.Server], set[asyncio.StreamWriter]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def admitted(self, key: Key, obj: Object) -> Object:
        """The object as the API server completes it."""
        made = copy.deepcopy(obj)
        if key[0] == "services":
            made["spec"]["clusterIP"] = _address()
        if key[0] == "namespaces":
            raise Refused(405, "MethodNotAllowed")
        return made

    def log(self, key: Key) -> str:
        self._store.get(key)
        return f"starting\n{_NOT_ROOTLESS}\n"

    def pod_address(self, key: Key) -> tuple[str, int]:
        pod = self._store.get(key)
        return (pod.get("status") or {}).get("podIP", "127.0.0.1"), PORT

    def environment(self, key: Key) -> dict[str, str]:
        """That of a pod's container."""
        (container,) = self._store.get(key)["spec"]["containers"]
        found = {each["name"]: each["value"] for each in container.get("env") or ()}
        for source in container.get("envFrom") or ():
            found |= self._store.get(("configmaps", key[1], source["configMapRef"]["name"]))["data"]
        return found

    def evict(self, key: Key) -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        self._store.update(key, lambda pod: pod["status"]["conditions"].append(condition))
        self._store.delete(key, foreground=False)

    async def reconcile(self) -> None:
        """One round of all controllers: pods of Deployments, and an end of what runs for pods that are gone."""
        for key, deployment in list(self._store.objects.items()):
            if key[0] == "deployments" and not deployment["metadata"].get("deletionTimestamp"):
                self._deploy(key, deployment)
        for key, pod in list(self._store.objects.items()):
            # One that nobody's controller made has nothing to wait for here.
            if key[0] == "pods" and "status" not in pod:
                self._store.update(
                    key,
                    lambda obj: obj.update(
                        status={"phase": "Running", "conditions": [_condition("Ready", "True", "")]}
                    ),
                )
        alive = {obj["metadata"]["uid"] for key, obj in self._store.objects.items() if key[0] == "pods"}
        for uid in [uid for uid in self._running if uid not in alive]:
            await self._stop_pod(uid)

    async def stop(self) -> None:
        for uid in list(self._running):
            await self._stop_pod(uid)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def kill(self, key: Key, reason: str) -> None:
        """End a pod's container as the kernel or the daemon itself would; the kubelet starts it again after a while."""
        pod = self._store.get(key)
        (before,) = pod["status"]["containerStatuses"]
        finished = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        ended = {"terminated": {"exitCode": 137, "reason": reason, "finishedAt": finished}}
        self._set(key, conditions=[], containerStatuses=[{**before, "state": ended}])
        await self._stop_pod(pod["metadata"]["uid"])

        async def restart() -> None:
            await asyncio.sleep(_RESTART_S)
            again = {"restartCount": before["restartCount"] + 1, "state": {"running": {}}, "lastState": ended}
            with suppress(Refused):  # gone meanwhile
                self._set(key, containerStatuses=[{**before, **again}])
                await asyncio.sleep(_RESTART_S)
                await self._start_pod(key)

        self._later(restart())

    def _deploy(self, key: Key, deployment: Object) -> None:
        name, template = key[2], deployment["spec"]["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
        replica_set = ("replicasets", key[1], f"{name}-{digest}")
        for old, _ in list(self._store.dependents(deployment)):
            if old != replica_set:
                self._store.delete(old, foreground=False)
        if replica_set not in self._store.objects:
            metadata = {"name": replica_set[2], "labels": template["metadata"]["labels"]}
            self._store.create(replica_set, _dependent("apps/v1", "ReplicaSet", metadata, deployment))
        owner = self._store.objects[replica_set]
        pods = [each for _, each in self._store.dependents(owner)]
        for _ in range(deployment["spec"]["replicas"] - len(pods)):
            if any(quota["spec"]["hard"].get("pods") == "0" for quota in self._quotas(key[1])):
                self._refuse(key)
                return
            pod_key = ("pods", key[1], f"{replica_set[2]}-{next(_addresses):05d}")
            metadata = {**template["metadata"], "name": pod_key[2]}
            pod = _dependent("v1", "Pod", metadata, owner) | {"spec": template["spec"]}
            self._store.create(pod_key, pod | {"status": {"phase": "Pending", "conditions": []}})
            self._later(self._start_pod(pod_key))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _quotas(self, namespace: str) -> list[Object]:
        return [obj for _, obj in self._store.select("resourcequotas", namespace)]

    def _refuse(self, key: Key) -> None:
        condition = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": 'pods "x" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0',
        }
        self._store.update(key, lambda obj: obj.update(status={"conditions": [condition]}))

    async def _start_pod(self, key: Key) -> None:
        pod = self._store.get(key)
        container, settings = pod["spec"]["containers"][0], pod["spec"]
        fresh = {"name": "buildkitd", "restartCount": 0, "image": container["image"]}
        status: dict[str, Any] = (pod["status"].get("containerStatuses") or [fresh])[0]
        selector = dict(settings.get("nodeSelector") or {})
        architecture = selector.pop("kubernetes.io/arch", None)
        if selector:
            self._set(key, conditions=[_condition("PodScheduled", "False", "Unschedulable", "0/1 nodes match")])
            return
        if not container["image"].startswith(_KNOWN_IMAGES):
            waiting = {"reason": "ErrImagePull", "message": "failed to resolve reference"}
            self._set(key, containerStatuses=[status | {"state": {"waiting": waiting}}])
            return
        if not container["securityContext"].get("privileged") and not container["image"].endswith("-rootless"):
            ended = {"exitCode": 1, "reason": "Error"}
            self._set(key, containerStatuses=[status | {"state": {"terminated": ended}}])
            return
        address = _address()
        context = self._tls(pod)
        writers: set[asyncio.StreamWriter] = set()
        services = [
            service["spec"]["clusterIP"]
            for _, service in self._store.select("services", key[1])
            if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ]
        servers = []
        for host in [address, *services]:
            with suppress(OSError):  # a Service leads to the first of several pods
                serve = functools.partial(self._serve, writers=writers, architecture=architecture)
                servers.append(await asyncio.start_server(serve, host, PORT, ssl=context))
        self._running[pod["metadata"]["uid"]] = (servers, writers)
        with suppress(Refused):  # gone while it started
            self._set(
                key,
                phase="Running",
                podIP=address,
                conditions=[_condition("Ready", "True", "")],
                containerStatuses=[status | {"state": {"running": {}}}],
            )

    def _set(self, key: Key, **changes: Any) -> None:
        self._store.update(key, lambda pod: pod["status"].update(changes))

    def _tls(self, pod: Object) -> ssl.SSLContext:
        volume = next(each for each in pod["spec"]["volumes"] if each["name"] == "tls")
        data = self._store.get(("secrets", pod["metadata"]["namespace"], volume["secret"]["secretName"]))["data"]
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.TemporaryDirectory() as folder:
            for name in ("ca.crt", "tls.crt", "tls.key"):
                (Path(folder) / name).write_bytes(base64.b64decode(data[name]))
            context.load_cert_chain(Path(folder) / "tls.crt", Path(folder) / "tls.key")
            context.load_verify_locations(Path(folder) / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        return context

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        writers: set[asyncio.StreamWriter],
        architecture: str | None,
    ) -> None:
        assert self._engine is not None
        writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            inner, outer = await asyncio.open_unix_connection(self._engine)
            writers.add(outer)
            outer.write(_UPGRADE)
            await inner.readuntil(b"\r\n\r\n")
            if architecture is not None:
                inner, outer = declaring((inner, outer), [f"linux/{architecture}"])
            halves = [asyncio.create_task(_pipe(reader, outer)), asyncio.create_task(_pipe(inner, writer))]
            try:
                await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for half in halves:
                    half.cancel()
                await asyncio.gather(*halves, return_exceptions=True)
                outer.transport.abort()
        writer.transport.abort()
        writers.discard(writer)

    async def _stop_pod(self, uid: str) -> None:
        servers, writers = self._running.pop(uid)
        for server in servers:
            server.close()
        for writer in list(writers):
            writer.transport.abort()
        for server in servers:
            await server.wait_closed()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


def _address() -> str:
    """A loopback address of its own (the whole of 127/8 is this machine), other than those of other processes."""
    number = next(_addresses)
    return f"127.{20 + os.getpid() % 200}.{number // 250}.{number % 250 + 1}"


def _condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _dependent(api: str, kind: str, metadata: Object, owner: Object) -> Object:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"apiVersion": api, "kind": kind, "metadata": {**metadata, "ownerReferences": [reference]}}
