"""The `buildkit-cli` pod for people, with buildctl, registry credentials and REGISTRY/REPOSITORY; and its session.

It belongs to a shared builder, with whose client certificate it is let in. It holds a password that can be read, so it
goes with the last session in it; where that one died, with the sweep.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

import aiohttp

from prefect_slipway.infra.domain.errors import BuilderNotReady, ClusterProtocolError, Leftovers, ObjectConflict
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.apply import check_ours
from prefect_slipway.infra.kubernetes.access.docker_config import KEY
from prefect_slipway.infra.kubernetes.access.errors import Asked
from prefect_slipway.infra.kubernetes.access.kinds import LEASE, POD, Object, shown
from prefect_slipway.infra.kubernetes.access.labels import CLIENT, MANAGED_BY, RUN, SHELL, SLIPWAY
from prefect_slipway.infra.kubernetes.access.lease import expires, gone
from prefect_slipway.infra.kubernetes.access.pods import is_ready, summary, verdict
from prefect_slipway.infra.kubernetes.builders.manifests import labels
from prefect_slipway.infra.kubernetes.builders.ready import error_of
from prefect_slipway.infra.kubernetes.builders.spec import PORT, BuilderSpec, Names, Run
from prefect_slipway.infra.kubernetes.builders.sweep import GONE_WITHIN_S

# kubelet's exec protocol over WebSockets: the first byte of each message is a channel.
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE = range(5)
_PROTOCOL = "v4.channel.k8s.io"
_TLS = "/certs"
_GRACE_S = 1
_PROFILE = "/tmp/profile"  # noqa: S108 (inside the pod)


class Terminal(Protocol):
    """Where a session's bytes come from and go to."""

    async def read(self) -> bytes:
        """What was typed, b"" at the end."""
        ...

    def write(self, data: bytes) -> None: ...

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        ...

    def on_resize(self, call: Callable[[], None]) -> None:
        """Call back whenever the size has changed."""
        ...


def cli_pod(spec: BuilderSpec, run: Run) -> Object:
    """The pod's manifest. Its Secrets are mounted as folders, so a rotated credential shows up in them."""
    names = Names.of(spec, run)
    address = f"tcp://{names.builder}:{PORT}"
    # An interactive shell reads the file that $ENV names.
    profile = f"alias buildctl='buildctl --tlsdir {_TLS}'"
    keys = (("ca.crt", "ca.pem"), ("tls.crt", "cert.pem"), ("tls.key", "key.pem"))
    return {
        "apiVersion": POD.api,
        "kind": POD.name,
        "metadata": {"name": names.cli, "labels": {**labels(spec, run), CLIENT: spec.name, SHELL: names.cli}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": _GRACE_S,
            "containers": [
                {
                    "name": "buildkit-cli",
                    "image": spec.used_image.removesuffix("-rootless") if spec.image is None else spec.image,
                    "command": ["sh", "-c", f'echo "{profile}" > {_PROFILE}; exec sleep 2147483647'],
                    "env": [{"name": "BUILDKIT_HOST", "value": address}, {"name": "ENV", "value": _PROFILE}],
                    "envFrom": [{"configMapRef": {"name": names.config}}],
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
                    "volumeMounts": [
                        {"name": "credentials", "mountPath": "/root/.docker", "readOnly": True},
                        {"name": "tls", "mountPath": _TLS, "readOnly": True},
                    ],
                }
            ],
            "volumes": [
                {
                    "name": "credentials",
                    "secret": {
                        "secretName": names.credentials,
                        "items": [{"key": KEY, "path": "config.json"}],
                    },
                },
                {
                    "name": "tls",
                    "secret": {
                        "secretName": names.client_tls,
                        "items": [{"key": key, "path": path} for key, path in keys],
                    },
                },
            ],
        },
    }


async def open_pod(api: KubernetesApi, pod: Object, *, timeout_s: float = 120.0) -> str:
    """Create or find the pod, and wait until it runs; returns its name.

    Raises NotOurs, the BuilderError that says why it does not run, and ClusterErrors.
    """
    name = str(pod["metadata"]["name"])
    seen: Object | None = None
    try:
        async with asyncio.timeout(timeout_s):
            await _made(api, pod)
            async with aclosing(api.follow(POD, name=name)) as changes:
                async for pods in changes:
                    seen = pods.get(name)
                    if seen is not None and is_ready(seen):
                        return name
                    found = verdict(seen) if seen is not None else None
                    if seen is not None and found is not None and not found.may_pass:
                        raise await error_of(api, found, seen)
    except TimeoutError as error:
        state = summary(seen) if seen is not None else f"pod/{name} does not exist"
        raise BuilderNotReady(f"pod/{name} is not running after {timeout_s:g} s", details=state) from error
    raise AssertionError("a watch that goes on for ever has ended")


async def _made(api: KubernetesApi, pod: Object) -> None:
    """Make sure that it exists; if it is being removed with its last session, wait and create it again."""
    while True:
        try:
            await api.create(pod)
        except ObjectConflict:
            there = await api.get(POD, str(pod["metadata"]["name"]))
            if there is None:
                continue
            check_ours(there, pod)
            if there["metadata"].get("deletionTimestamp"):
                await gone(api, POD, there)
                continue
        return


async def remove_pod(api: KubernetesApi, run: Run, name: str, *, timeout_s: float = GONE_WITHIN_S) -> list[str]:
    """Remove the pod and check that it is gone, unless another run has a session in it. Raises Leftovers and
    ClusterErrors."""
    leases = await api.find(LEASE, f"{MANAGED_BY}={SLIPWAY},{SHELL}={name}")
    if any(lease["metadata"]["labels"][RUN] != run.id and expires(lease) > api.now() for lease in leases):
        return []
    pod = await api.get(POD, name)
    if pod is None or (pod["metadata"].get("labels") or {}).get(SHELL) != name:
        return []
    try:
        async with asyncio.timeout(timeout_s):
            await api.delete(pod, kind=POD, grace_s=_GRACE_S)
            await gone(api, POD, pod)
    except TimeoutError as error:
        raise Leftovers(f"pod/{name} still exists after {timeout_s:g} s", details=summary(pod)) from error
    return [shown(POD, name)]


async def run_session(api: KubernetesApi, pod: str, command: list[str], terminal: Terminal) -> int:
    """Run a command in the pod on this terminal; gives its exit code. Raises ClusterErrors."""
    asked = Asked("create", f"pod/{pod}/exec", "pods/exec", api.namespace)
    query = [("command", word) for word in command]
    query += [(name, "true") for name in ("stdin", "stdout", "tty")]
    path = f"/api/v1/namespaces/{api.namespace}/pods/{pod}/exec"
    socket = await api.open_socket(asked, path, query, _PROTOCOL)
    resized = asyncio.Event()
    resized.set()
    terminal.on_resize(resized.set)
    tasks = [asyncio.create_task(_typed(socket, terminal)), asyncio.create_task(_sizes(socket, terminal, resized))]
    try:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel in {_STDOUT, _STDERR}:
                terminal.write(data)
            elif channel == _ERROR and data:
                return exit_code(data)
        return 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await socket.close()


def exit_code(status: bytes) -> int:
    """From the `Status` that ends a session. Raises ClusterProtocolError."""
    try:
        answer = json.loads(status)
        if answer["status"] == "Success":
            return 0
        causes = {cause["reason"]: cause["message"] for cause in answer["details"]["causes"]}
        return int(causes["ExitCode"])
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterProtocolError("the session in the pod ended without an exit code") from error


async def _typed(socket: aiohttp.ClientWebSocketResponse, terminal: Terminal) -> None:
    while data := await terminal.read():
        await socket.send_bytes(bytes([_STDIN]) + data)
    await socket.send_bytes(bytes([_STDIN]) + b"\x04")  # a terminal's end of input


async def _sizes(socket: aiohttp.ClientWebSocketResponse, terminal: Terminal, resized: asyncio.Event) -> None:
    while True:
        await resized.wait()
        resized.clear()
        columns, lines = terminal.size()
        await socket.send_bytes(bytes([_RESIZE]) + json.dumps({"Width": columns, "Height": lines}).encode())
