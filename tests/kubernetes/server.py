"""The HTTP half of a small Kubernetes in this process, on loopback without TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.kubernetes.controller import Controller
from tests.kubernetes.execution import execute
from tests.kubernetes.forwards import SpdyForward, websocket_forward
from tests.kubernetes.rbac import ALL, Authorizer
from tests.kubernetes.store import Key, Object, Refused, Store, matches, merged, strategic
from tests.kubernetes.workloads import WorkloadController

Fault = Callable[[web.Request], web.StreamResponse | None]


class KubernetesServer:
    """An API server with its controllers; an async context manager. `engine`: the socket of the Docker engine that
    all builders' pods run; `workloads`: what runs all other pods, in their place.

    `fault`: may answer a request in the server's place. `drop_forwards` cuts all port-forwards.
    """

    def __init__(self, engine: Path | None, *, workloads: Callable[[Store], WorkloadController] | None = None) -> None:
        self.store = Store()
        self.controller = Controller(self.store, engine)
        self.workloads = workloads(self.store) if workloads is not None else None
        self.fault: Fault = lambda request: None
        self.port = 0
        self.requests: list[tuple[str, str]] = []
        self._sockets: set[web.WebSocketResponse] = set()
        self._forwards: set[SpdyForward] = set()
        self._runner: web.AppRunner | None = None
        self._notify: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()

    async def __aenter__(self) -> KubernetesServer:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.store.on_change = self._woken.set
        self._notify = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._notify is not None
        assert self._runner is not None
        self._notify.cancel()
        await asyncio.wait([self._notify])
        await self.drop_forwards()
        await self._pods.stop()
        await self._runner.cleanup()

    @property
    def _pods(self) -> Controller | WorkloadController:
        return self.workloads or self.controller

    def kubeconfig(self, folder: Path, *, token: str = "a-token", namespace: str | None = None) -> Path:
        context = {"cluster": "c", "user": "u"} | ({"namespace": namespace} if namespace else {})
        path = folder / f"{token}.kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "c", "context": context}],
                    "current-context": "c",
                }
            )
        )
        return path

    async def drop_forwards(self) -> None:
        for socket in list(self._sockets):
            with suppress(ConnectionError):
                await socket.close()
        for forward in list(self._forwards):
            forward.close()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            self.store.collect()
            await self._pods.reconcile()
            async with self.store.changed:
                self.store.changed.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        answer = self.fault(request)
        if answer is not None:
            return answer
        try:
            return await self._route(request)
        except Refused as error:
            return web.json_response(error.status, status=error.code)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if parts[1] == "authorization.k8s.io":
            return await self._review(request, parts[-1])
        at = parts.index("namespaces")
        namespace, plural = parts[at + 1], parts[at + 2]
        name, sub = [*parts[at + 3 :], "", ""][:2]
        key: Key = (plural, namespace, name)
        query = request.query
        if sub == "log":
            return web.Response(text=self._pods.log(key))
        if sub == "portforward":
            return await self._forward(request, key)
        if sub == "exec":
            return await self._exec(request, key)
        if sub == "eviction":
            self.controller.evict(key)
            return web.json_response({"kind": "Status", "status": "Success"}, status=201)
        if request.method == "GET" and not name:
            if query.get("watch") == "true":
                return await self._watch(request, plural, namespace)
            found = self.store.select(plural, namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
            items = [obj for _, obj in found]
            return web.json_response(
                {"items": items, "metadata": {"resourceVersion": str(self.store.version)}, "kind": "List"}
            )
        if request.method == "GET":
            return web.json_response(self.store.get(key))
        body: Any = json.loads(await request.read() or b"{}")
        if request.method == "POST":
            key = (plural, namespace, body["metadata"]["name"])
            return web.json_response(self.store.create(key, self._pods.admitted(key, body)), status=201)
        if request.method == "PATCH":
            if key not in self.store.objects and "apply-patch" in request.content_type:
                return web.json_response(self.store.create(key, self._pods.admitted(key, body)), status=201)
            version = body["metadata"].get("resourceVersion") if "metadata" in body else None
            merge = strategic if "strategic" in request.content_type else merged

            def change(obj: Object) -> None:
                after = merge(obj, body)
                obj.clear()
                obj.update(after)

            return web.json_response(self.store.update(key, change, version))
        conditions = body.get("preconditions") or {}
        self.store.delete(
            key,
            foreground=body.get("propagationPolicy") == "Foreground",
            uid=conditions.get("uid"),
            version=conditions.get("resourceVersion"),
        )
        return web.json_response({"kind": "Status", "status": "Success"})

    async def _review(self, request: web.Request, plural: str) -> web.StreamResponse:
        """What the asker may do: all, unless the fault is an Authorizer, which says so."""
        spec = json.loads(await request.read())["spec"]
        authorizer = self.fault if isinstance(self.fault, Authorizer) and self.fault.judges(request) else None
        if plural == "selfsubjectrulesreviews":
            rules = authorizer.told() if authorizer is not None else [ALL]
            return web.json_response({"status": {"resourceRules": rules, "incomplete": not rules}}, status=201)
        asked = spec["resourceAttributes"]
        resource = f"{asked['resource']}/{asked['subresource']}" if asked["subresource"] else asked["resource"]
        allowed = authorizer is None or authorizer.grants(asked["group"], resource, asked["verb"])
        return web.json_response({"status": {"allowed": allowed}}, status=201)

    async def _watch(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        query = request.query
        seen = int(query["resourceVersion"])
        response = web.StreamResponse()
        with suppress(ConnectionError, TimeoutError):
            await response.prepare(request)
            async with asyncio.timeout(float(query["timeoutSeconds"])):
                while True:
                    for version, change, key, obj in [event for event in self.store.events if event[0] > seen]:
                        seen = version
                        if key[:2] == (plural, namespace) and matches(
                            obj, query.get("labelSelector", ""), query.get("fieldSelector", "")
                        ):
                            await response.write(json.dumps({"type": change, "object": obj}).encode() + b"\n")
                    async with self.store.changed:
                        if self.store.version <= seen:
                            await self.store.changed.wait()
        return response

    async def _exec(self, request: web.Request, key: Key) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        await execute(socket, request.query.getall("command"), self.controller.environment(key))
        return socket

    async def _forward(self, request: web.Request, key: Key) -> web.StreamResponse:
        host, port = self.controller.pod_address(key)
        if request.headers.get("Upgrade") == "SPDY/3.1":
            forward = SpdyForward(host, port)
            assert request.transport is not None
            forward.start(request.transport)
            self._forwards.add(forward)
            try:
                await forward.wait_over()
            finally:
                self._forwards.discard(forward)
            return web.Response()  # to nobody: the connection is gone
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",), max_msg_size=0)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await websocket_forward(socket, host, port)
        finally:
            self._sockets.discard(socket)
        return socket
