"""A BuildKit builder in a cluster: create it, reach it and remove it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from prefect_slipway.infra.common.private_files import PrivateFiles
from prefect_slipway.infra.common.tls import trusting
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import (
    BuilderUnreachable,
    Leftovers,
    ObjectConflict,
    ObjectMissing,
    SlipwayError,
)
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.apply import apply_ours
from prefect_slipway.infra.kubernetes.access.kinds import LEASE, POD, SECRET, SERVICE, Object, name_of, shown
from prefect_slipway.infra.kubernetes.access.labels import CLIENT, SHELL
from prefect_slipway.infra.kubernetes.access.lease import Renewal, gone, timestamp
from prefect_slipway.infra.kubernetes.access.pods import is_ready
from prefect_slipway.infra.kubernetes.access.port_forward import port_forward
from prefect_slipway.infra.kubernetes.access.thread import InOwnThread, from_here
from prefect_slipway.infra.kubernetes.builders.certificates import BuilderCertificates, make_certificates, service_names
from prefect_slipway.infra.kubernetes.builders.diagnosis import Diagnosis
from prefect_slipway.infra.kubernetes.builders.manifests import (
    build_config,
    builder_objects,
    owned,
    registry_credentials,
    run_lease,
)
from prefect_slipway.infra.kubernetes.builders.preflight import check_place
from prefect_slipway.infra.kubernetes.builders.ready import Ended, wait_ready
from prefect_slipway.infra.kubernetes.builders.replicas import choose_replica, take_seats
from prefect_slipway.infra.kubernetes.builders.secrets import RegistrySecret
from prefect_slipway.infra.kubernetes.builders.shared import other_users, share
from prefect_slipway.infra.kubernetes.builders.shell import cli_pod, open_pod, remove_pod
from prefect_slipway.infra.kubernetes.builders.spec import PORT, BuilderSpec, Names, Run
from prefect_slipway.infra.kubernetes.builders.sweep import remove_run

T = TypeVar("T")
Reach = Literal["auto", "service", "port-forward"]

_CERTIFICATE_LIFETIME = timedelta(days=7)
_SERVICE_S = 15.0
_SERVICE_RETRY_S = 0.05
_HANDSHAKE_S = 3.0


@dataclass(frozen=True, slots=True)
class ProvisionedBuilder:
    """A builder that is ready. `address`: `tcp://HOST:PORT`; `ca`, `cert`, `key`: files for mutual TLS, readable by
    this process until the builder is closed; `server_name`: what the server's certificate is checked against.
    `found`: it was there already (shared).
    """

    address: str
    ca: Path
    cert: Path
    key: Path
    server_name: str
    pod: str
    reached: Literal["service", "port-forward"]
    found: bool


class KubernetesBuilder:
    """The builder of one run; an async context manager that leaves nothing of the run behind.

    `source`: what is built, so that a source always gets the same replica. `lease_s`: seconds after which a run that
    gave no sign of life may be swept; an API server that is away for less hurts nobody. `session`: the `buildkit-cli`
    pod will be opened beside it. All methods raise ClusterErrors and BuilderErrors.
    """

    def __init__(
        self,
        api: KubernetesApi,
        spec: BuilderSpec,
        run: Run,
        *,
        source: str,
        reach: Reach = "auto",
        lease_s: int = 300,
        session: bool = False,
    ) -> None:
        self._api = api
        self._spec = spec
        self._run = run
        self._names = Names.of(spec, run)
        self._source = source
        self._reach = reach
        self._lease_s = lease_s
        self._session = session
        self._checked = False
        self._exits = AsyncExitStack()
        self._connection = AsyncExitStack()
        self._root: Object | None = None
        self._owner: Object | None = None
        self._certificates: BuilderCertificates | None = None
        self._diagnosis: Diagnosis | None = None
        self._ends: set[Ended] = set()
        self._begun = False
        self._published = False
        self._pod: str | None = None
        self._seats: list[str] = []

    @property
    def name(self) -> str:
        """Of its Deployment."""
        return self._names.builder

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def check(self) -> None:
        """Check that the builder could be created, without writing. Raises ClusterForbidden and NotOurs."""
        await check_place(self._api, self._spec, self._run, forward=not self._inside, session=self._session)
        self._checked = True

    async def provision(self) -> ProvisionedBuilder:
        """Create the builder (or find the shared one), wait until it is ready, and return its access.

        May be called again when the builder was lost: what is missing is made again.
        """
        if not self._checked:
            await self.check()
        await self._connection.aclose()
        if self._diagnosis is not None:
            self._ends |= self._diagnosis.ends
        owner = await self._run_root()
        found = False
        if self._spec.lifetime == "shared":
            shared = await share(self._api, self._spec, self._run)
            owner, self._certificates, found = shared.root, shared.certificates, shared.found
            if self._owner is None or self._owner["metadata"]["uid"] != owner["metadata"]["uid"]:
                self._exits.push_async_callback(Renewal(self._api, owner, self._lease_s).stop)
        elif self._certificates is None:
            self._certificates = make_certificates(self._names.builder, self._api.namespace, _CERTIFICATE_LIFETIME)
        self._owner = owner
        if not found:
            for obj in builder_objects(self._spec, self._run, self._certificates, owner):
                await apply_ours(self._api, obj)
        pods = await wait_ready(self._api, self._names.builder, self._spec, found=found, known=self._ends)
        names = [name_of(pod) for pod in pods]
        self._seats = names
        if len(names) > 1 or self._spec.replicas > 1:
            count = max(len(names), self._spec.replicas)
            self._seats = await take_seats(self._api, name_of(owner), names, count)
        return await self._connect(pods, self._certificates, found=found)

    async def publish(
        self, source: CredentialSource, hosts: Iterable[str], *, registry: str, repository: str
    ) -> CredentialSource:
        """Put the credentials for `hosts` into the Secret `registry-creds` and where the image goes into the ConfigMap
        `build-config`; gives the source that reads that Secret at each use. After `provision`.
        """
        await apply_ours(self._api, self._owned(build_config(self._spec, self._run, registry, repository)))
        secret = RegistrySecret(
            self._api, source, hosts, lambda text: self._owned(registry_credentials(self._spec, self._run, text))
        )
        await secret.start()
        self._published = True
        self._exits.push_async_callback(secret.stop)
        return secret

    async def open_cli(self) -> str:
        """The lab's `buildkit-cli` pod at this shared builder, running; gives its name. After `publish`."""
        self._pod = self._names.cli
        await self._api.merge(LEASE, self._names.run, {"metadata": {"labels": {SHELL: self._pod}}})
        return await open_pod(self._api, self._owned(cli_pod(self._spec, self._run)))

    async def guard(self, building: Coroutine[Any, Any, T]) -> T:
        """The result of a build (or of another call) at this builder; if the builder is lost meanwhile, the cause
        that its pod tells.
        """
        if self._diagnosis is None:
            raise RuntimeError("a build needs a ready builder")
        return await self._diagnosis.guard(building)

    async def close(self) -> list[str]:
        """Remove everything created for the run and check that it is gone; returns the removed objects' names as in
        kubectl.

        A shared builder stays for others; its registry credentials go with the last release that used it, the
        `buildkit-cli` pod with the last session in it. Raises what kept anything, after all else has gone.
        """
        gone: list[str] = []
        troubles: list[SlipwayError] = []
        try:
            await self._connection.aclose()
            await self._exits.aclose()
        finally:
            # Whatever happened before, nobody else would do it as soon.
            for step in (self._take_pod, self._take_credentials, self._take_run):
                try:
                    gone += await step()
                except SlipwayError as error:
                    troubles.append(error)
            self._begun = self._published = False
            self._root = self._owner = self._pod = None
        if troubles:
            raise _all_of(troubles)
        return gone

    async def _take_run(self) -> list[str]:
        return await remove_run(self._api, self._run.id) if self._begun else []

    async def _take_pod(self) -> list[str]:
        return await remove_pod(self._api, self._run, self._pod) if self._pod is not None else []

    async def _take_credentials(self) -> list[str]:
        """The shared Secret goes with the last release that uses it."""
        if not self._published or self._spec.lifetime == "run":
            return []
        if await other_users(self._api, self._spec, self._run):
            return []
        secret = await self._api.get(SECRET, self._names.credentials)
        if secret is not None:
            with suppress(ObjectConflict):  # a release that has just come has written it
                await self._api.delete(secret, kind=SECRET, unchanged=True)
                return [shown(SECRET, name_of(secret))]
        return []

    @property
    def _inside(self) -> bool:
        """Whether it is reached by its Service."""
        return self._reach == "service" or (self._reach == "auto" and self._api.in_cluster)

    def _owned(self, obj: Object) -> Object:
        if self._owner is None:
            raise RuntimeError("an owned object needs a ready builder")
        return owned(obj, self._owner)

    async def _run_root(self) -> Object:
        """The run's Lease; made again if somebody removed it, since what a gone owner owns is removed as well."""
        there = await self._api.get(LEASE, self._names.run) if self._root is not None else None
        if there is not None and there["metadata"].get("deletionTimestamp"):
            await gone(self._api, LEASE, there)
            there = None
        if there is None:
            wanted = run_lease(self._spec, self._run, self._lease_s, timestamp(self._api.now()))
            self._begun = True
            # Applied, not created: an attempt whose answer got lost may have made it.
            self._root = there = await apply_ours(self._api, wanted)
            self._exits.push_async_callback(Renewal(self._api, there, self._lease_s).stop)
        return there

    async def _connect(
        self, pods: list[Object], certificates: BuilderCertificates, *, found: bool
    ) -> ProvisionedBuilder:
        by_name = {name_of(pod): pod for pod in pods}
        chosen = by_name[choose_replica(self._source, self._seats, by_name)]
        diagnosis = self._diagnosis = Diagnosis(self._api, chosen, own=self._spec.lifetime == "run")
        self._connection.push_async_callback(diagnosis.stop)
        files = PrivateFiles()
        self._connection.callback(files.close)
        ca, cert, key = (
            files.add(name, content)
            for name, content in (
                ("ca.pem", certificates.ca),
                ("cert.pem", certificates.client_cert),
                ("key.pem", certificates.client_key),
            )
        )
        server_name = service_names(self._names.builder, self._api.namespace)[2]
        if self._inside:
            context = trusting("the builder", ca, cert, key)
            address = await self._service_address(chosen, context, server_name)
        else:
            try:
                address = await self._forwarded()
            except ObjectMissing as error:
                # What was ready a moment ago, or the node that it was on, has gone.
                lost = BuilderUnreachable(f"builder {self._names.builder} cannot be reached")
                raise await diagnosis.lost(lost) from error
        return ProvisionedBuilder(
            address=address,
            ca=ca,
            cert=cert,
            key=key,
            server_name=server_name,
            pod=name_of(chosen),
            reached="service" if self._inside else "port-forward",
            found=found,
        )

    async def _service_address(self, chosen: Object, context: ssl.SSLContext, server_name: str) -> str:
        """By number: a cluster's DNS may take some seconds to know a Service that is new."""
        host = str(chosen["status"]["podIP"])
        if len(self._seats) == 1:
            service = await self._api.get(SERVICE, self._names.builder)
            host = str(((service or {}).get("spec") or {}).get("clusterIP") or host)
        await _answers(host, self._spec.name, context, server_name)
        return f"tcp://[{host}]:{PORT}" if ":" in host else f"tcp://{host}:{PORT}"

    async def _forwarded(self) -> str:
        """In a thread: a build on this machine sends while it is carried on, and neither waits for the other's turn."""
        pod = from_here(self._current_pod)
        forwarding = InOwnThread(lambda: port_forward(self._api, pod, PORT), "port-forward")
        return (await self._connection.enter_async_context(forwarding)).address

    async def _current_pod(self) -> str:
        pods = await self._api.find(POD, f"app={self._names.builder}")
        ready = [name_of(pod) for pod in pods if is_ready(pod)]
        if not ready:
            raise BuilderUnreachable(f"builder {self._names.builder} has no ready pod")
        return choose_replica(self._source, self._seats, ready)


def _all_of(troubles: list[SlipwayError]) -> SlipwayError:
    if len(troubles) == 1:
        return troubles[0]
    return Leftovers(
        "; ".join(error.cause for error in troubles),
        details="\n".join(error.details for error in troubles if error.details),
        action="; ".join(dict.fromkeys(error.action for error in troubles if error.action)),
    )


async def _answers(host: str, name: str, context: ssl.SSLContext, server_name: str) -> None:
    """Wait for the daemon: a Service leads to a pod some time after the pod is ready. By its certificate, since what
    routes a cluster's traffic may take up connections that lead nowhere yet.
    """
    try:
        async with asyncio.timeout(_SERVICE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection(
                        host, PORT, ssl=context, server_hostname=server_name, ssl_handshake_timeout=_HANDSHAKE_S
                    )
                except OSError:
                    await asyncio.sleep(_SERVICE_RETRY_S)
                    continue
                writer.transport.abort()
                return
    except TimeoutError as error:
        raise BuilderUnreachable(
            f"builder {name} is ready, but {host}:{PORT} does not answer within {_SERVICE_S:g} s",
            action=f"the NetworkPolicy only admits pods with the label {CLIENT}={name}: add it to this pod",
        ) from error
