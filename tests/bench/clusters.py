"""Cases on the cluster of KUBECONFIG: how soon one can build, how fast a context gets there, what a release costs."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal

from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.buildkit.build.events import BuildEvent, Step
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import POD
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.access.pods import is_ready
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder, ProvisionedBuilder
from prefect_slipway.infra.kubernetes.builders.certificates import make_certificates
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Resources, Run
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.daemon import DaemonSpec
from prefect_slipway.infra.local.stack import Stack
from tests.bench import contexts
from tests.bench.measure import Row, Side, in_turn, median, run
from tests.cluster.conftest import kubectl, open_registry, this_machine
from tests.conftest import SLIPWAY, run_slipway, stack_home
from tests.kubernetes.cluster import PASSWORD, USER, RegistryHome
from tests.ports import free_port
from tests.releases import make_source
from tests.servers import running, vault_server

_MIB = 256
_SECRET = "secret/bench/registry"
Reach = Literal["service", "port-forward"]


class Clusters:
    """`folder`: where contexts are made. `namespace`: an empty one, for all cases."""

    def __init__(self, folder: Path, namespace: str, runs: int) -> None:
        self._folder = folder
        self._access = ClusterAccess(os.environ["KUBECONFIG"], namespace=namespace)
        self._runs = runs

    def ready(self) -> Row:
        """Seconds from when the pod is Ready, as a watch tells it, to the daemon's first answer; the slower way."""
        service, forward = (
            statistics.median(asyncio.run(self._first_answer(reach)) for _ in range(self._runs))
            for reach in ("service", "port-forward")
        )
        note = "port-forward / Service"
        return Row("builder ready to build", forward, service, max(forward, service), 1.0, unit="s", note=note)

    def service(self) -> Row:
        """A context's way to a privileged pod by its Service, over that to the same daemon on loopback."""
        return asyncio.run(self._by_service())

    def forward(self) -> Row:
        """A context's way through our port-forward, over that through kubectl's."""
        return asyncio.run(self._by_forward())

    def release(self) -> Row:
        """A release whose builder is made in the cluster for it, over one with the local builder."""
        with stack_home() as env, vault_server(_made(self._folder / "vault")) as vault:
            started = run_slipway("up", env=env)
            if started.returncode:
                raise SystemExit(started.stderr)
            connection = Stack(StackConfig.from_env(env)).connection()
            vault.put(_SECRET, {"username": USER, "password": PASSWORD})
            port = free_port()
            with open_registry(RegistryHome(_made(self._folder / "registry")), port):
                command: list[str | Path] = [
                    SLIPWAY,
                    "release",
                    make_source(self._folder / "source"),
                    "--insecure-registry",
                ]
                command += ["--credentials", f"vault:{_SECRET}", "--image", f"{this_machine()}:{port}/bench"]
                env |= {"VAULT_ADDR": vault.address, "PREFECT_API_URL": connection.prefect_api_url}
                env |= {"VAULT_TOKEN": str(vault.token(policies=["root"], ttl="1h")["client_token"])}
                env |= {"KUBECONFIG": os.environ["KUBECONFIG"]}
                cluster = ["--builder", "kubernetes", "--namespace", str(self._access.namespace)]
                sides = Side([*command, *cluster], env), Side(command, env)
                for side in sides:
                    run(side)
                runs = in_turn(*sides, self._runs)
        ours, theirs = (median(side, "wall_s") for side in runs)
        return Row("release in cluster / local", ours, theirs, ours - theirs, None, unit="s more", runs=runs)

    # ---------------------------------------------------------------------------------------------------------

    async def _first_answer(self, reach: Reach) -> float:
        async with KubernetesApi(self._access) as api:
            begun = asyncio.create_task(_ready_at(api))
            try:
                async with self._builder(api, reach) as builder, BuildKit(_address(builder, builder.address)) as daemon:
                    await daemon.info()
                    return time.monotonic() - await begun
            finally:
                begun.cancel()
                await asyncio.gather(begun, return_exceptions=True)

    async def _by_service(self) -> Row:
        async with KubernetesApi(self._access) as api, self._builder(api, "service", privileged=True) as builder:
            with _on_loopback(self._folder) as loopback:
                rates = await self._in_turn(_address(builder, builder.address), loopback)
        return Row("context by Service/loopback", *rates, rates[0] / rates[1], 0.9, note="MiB/s, more is better")

    async def _by_forward(self) -> Row:
        async with KubernetesApi(self._access) as api, self._builder(api, "port-forward") as builder:
            with _by_kubectl(api.namespace, builder.pod) as address:
                rates = await self._in_turn(_address(builder, builder.address), _address(builder, address))
        return Row("context by forward/kubectl's", *rates, rates[0] / rates[1], 1.0, note="MiB/s, more is better")

    async def _in_turn(self, ours: BuilderAddress, theirs: BuilderAddress) -> tuple[float, float]:
        rates = [(await self._rate(ours), await self._rate(theirs)) for _ in range(self._runs)]
        return statistics.median(rate for rate, _ in rates), statistics.median(rate for _, rate in rates)

    async def _rate(self, address: BuilderAddress) -> float:
        """MiB/s of a context that is new, from the build's begin until it has arrived."""
        context = contexts.one_file(self._folder / secrets.token_hex(4), _MIB)
        arrived = None

        def on_event(event: BuildEvent) -> None:
            nonlocal arrived
            if isinstance(event, Step) and "load build context" in event.name and event.completed:
                arrived = time.monotonic()

        try:
            async with BuildKit(address) as daemon:
                begun = time.monotonic()
                await daemon.build(BuildRequest(context=context), Anonymous(), on_event)
        finally:
            shutil.rmtree(context)
        assert arrived is not None
        return _MIB / (arrived - begun)

    @asynccontextmanager
    async def _builder(
        self, api: KubernetesApi, reach: Reach, *, privileged: bool = False
    ) -> AsyncIterator[ProvisionedBuilder]:
        # A share of the processors as large as a process outside of the cluster has, where they are scarce.
        spec = BuilderSpec(privileged=privileged, resources=Resources(cpu="1", memory="64Mi"))
        async with KubernetesBuilder(api, spec, Run(secrets.token_hex(4)), source="bench", reach=reach) as builder:
            yield await builder.provision()


async def _ready_at(api: KubernetesApi) -> float:
    async with aclosing(api.follow(POD)) as changes:
        async for pods in changes:
            if any(is_ready(pod) for pod in pods.values()):
                return time.monotonic()
    raise AssertionError("a watch that goes on for ever has ended")


def _address(builder: ProvisionedBuilder, address: str) -> BuilderAddress:
    return BuilderAddress.parse(address, TlsFiles(builder.ca, builder.cert, builder.key, builder.server_name))


@contextmanager
def _by_kubectl(namespace: str, pod: str) -> Iterator[str]:
    port = free_port()
    with subprocess.Popen(
        ["kubectl", "--namespace", namespace, "port-forward", f"pod/{pod}", f"{port}:1234"],
        stdout=subprocess.PIPE,
        text=True,
    ) as forward:
        assert forward.stdout is not None
        forward.stdout.readline()  # it says when it listens
        try:
            yield f"tcp://127.0.0.1:{port}"
        finally:
            forward.terminate()


@contextmanager
def _on_loopback(folder: Path) -> Iterator[BuilderAddress]:
    """A buildkitd of this machine behind the same TLS."""
    daemon = shutil.which("buildkitd")
    if daemon is None:
        raise SystemExit("buildkitd is not on PATH: what is measured on loopback for comparison")
    home, port = _made(folder / "loopback"), free_port()
    made = make_certificates("loopback", "bench", timedelta(hours=1))
    for name, content in (("cacert", made.ca), ("cert", made.server_cert), ("key", made.server_key)):
        (home / name).write_bytes(content)
    for name, content in (("client.cert", made.client_cert), ("client.key", made.client_key)):
        (home / name).write_bytes(content)
    command = [daemon, "--root", str(home / "root"), "--addr", f"tcp://127.0.0.1:{port}"]
    command += [option for name in ("cacert", "cert", "key") for option in (f"--tls{name}", str(home / name))]
    tls = TlsFiles(home / "cacert", home / "client.cert", home / "client.key", "loopback.bench.svc")

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with running(DaemonSpec("buildkitd", tuple(command), ready), home):
        yield BuilderAddress.parse(f"tcp://127.0.0.1:{port}", tls)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@contextmanager
def clusters(folder: Path, runs: int) -> Iterator[Clusters]:
    """A namespace of its own."""
    name = f"slipway-bench-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    try:
        kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=20s")
        yield Clusters(folder, name, runs)
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


CASES = {
    "cluster-ready": Clusters.ready,
    "cluster-service": Clusters.service,
    "cluster-forward": Clusters.forward,
    "cluster-release": Clusters.release,
}
"""By what is typed in CASES."""
