"""A BuildKit builder in a cluster: from nothing to an address one can build at, and back to nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from flows.domain.credentials import CredentialSource
from flows.domain.errors import (
    BuilderError,
    BuilderLost,
    BuilderNodeLost,
    BuilderTlsError,
    BuilderUnreachable,
    ClusterError,
    ClusterUnavailable,
    Leftovers,
    ObjectConflict,
    ObjectMissing,
    SlipwayError,
)
from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.apply import apply_ours
from infra.kubernetes.aside import Aside, from_here
from infra.kubernetes.certificates import BuilderCertificates, make_certificates, service_names
from infra.kubernetes.kinds import LEASE, POD, SECRET, SERVICE, Object, name_of, shown
from infra.kubernetes.lease import Renewal, gone, timestamp
from infra.kubernetes.manifests import build_config, builder_objects, owned, registry_credentials, run_lease
from infra.kubernetes.model import CLIENT, PORT, SHELL, BuilderSpec, Names, Run
from infra.kubernetes.pods import Verdict, is_ready, summary
from infra.kubernetes.preflight import check_place
from infra.kubernetes.private_files import PrivateFiles
from infra.kubernetes.reach import port_forward
from infra.kubernetes.ready import error_of, wait_ready
from infra.kubernetes.replicas import choose_replica, take_seats
from infra.kubernetes.secrets import RegistrySecret
from infra.kubernetes.sentinel import Sentinel
from infra.kubernetes.shared import other_users, share
from infra.kubernetes.shell import cli_pod, open_pod, remove_pod
from infra.kubernetes.sweep import remove_run

T = TypeVar("T")
Reach = Literal["auto", "service", "port-forward"]

_CERTIFICATE_LIFETIME = timedelta(days=7)
# The kubelet reports a container's end some seconds after the connection to it broke.
_DIAGNOSIS_S = 5.0
# How long a build may take to end by itself after its pod did: what it says then may be more than the pod tells.
_LAST_WORDS_S = 2.0
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
    gave no sign of life may be swept; an API server that is away for less hurts nobody. `session`: the lab's pod will
    be opened beside it. All methods raise ClusterErrors and BuilderErrors.
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
        self._sentinel: Sentinel | None = None
        self._begun = False
        self._published = False
        self._pod: str | None = None
        self._seats: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def check(self) -> None:
        """See that it could be made: raises ClusterForbidden and NotOurs, and writes nothing."""
        await check_place(self._api, self._spec, self._run, forward=not self._inside, session=self._session)
        self._checked = True

    async def provision(self) -> ProvisionedBuilder:
        """Make the builder (or find the shared one), wait until it is ready, and give a way to it.

        May be called again when the builder was lost: what is missing is made anew.
        """
        if not self._checked:
            await self.check()
        await self._connection.aclose()
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
        pods = await wait_ready(self._api, self._names.builder, self._spec, found=found)
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

        A pod's end ends the build at once, also where the connection to it would only hang. Trouble with TLS is such a
        loss as well: both sides' certificates are ours and have been tried, so the way led elsewhere or broke off.
        """
        sentinel = self._sentinel
        if sentinel is None:
            raise RuntimeError("something is built before there is a builder")
        task = asyncio.create_task(building)
        try:
            either: set[asyncio.Future[Any]] = {task, sentinel.found}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=_LAST_WORDS_S)
            if not task.done():
                raise await self._cause(sentinel, sentinel.found.result())
            return task.result()
        except (BuilderLost, BuilderUnreachable, BuilderTlsError) as error:
            raise await self._diagnosed(sentinel, error) from error
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _diagnosed(self, sentinel: Sentinel, error: BuilderError) -> BuilderError:
        """Why the connection was lost; what `error` says, with the pod's status, if the pod is well."""
        found = await sentinel.verdict(_DIAGNOSIS_S)
        if found is not None:
            return await self._cause(sentinel, found)
        try:
            await self._api.logs(name_of(sentinel.pod), lines=1)
        except ClusterUnavailable:  # the API server asks the node's kubelet for it
            return await self._node_lost(sentinel.pod, "does not answer")
        except ObjectMissing:  # of a pod that is there, or the sentinel would have told: its node is not
            return await self._node_lost(sentinel.pod, "is gone")
        except ClusterError:
            pass  # the log itself does not matter
        kind = BuilderLost if isinstance(error, BuilderTlsError) else type(error)
        return kind(error.cause, details="\n".join(part for part in (error.details, summary(sentinel.pod)) if part))

    async def _node_lost(self, pod: Object, what: str) -> BuilderError:
        await self._abandon(pod)
        return BuilderNodeLost(f"the node of pod/{name_of(pod)} {what}", details=summary(pod))

    async def _cause(self, sentinel: Sentinel, found: Verdict) -> BuilderError:
        cause = await error_of(self._api, found, sentinel.pod)
        if isinstance(cause, BuilderNodeLost):
            await self._abandon(sentinel.pod)
        cause.details = "\n".join(part for part in (cause.details, summary(sentinel.pod)) if part)
        return cause

    async def _abandon(self, pod: Object) -> None:
        """Give up a pod whose node is gone: it would stay until that node confirmed its end, and no other one come.

        A shared builder's is left to the cluster: others may reach it still.
        """
        if self._spec.lifetime == "run":
            with suppress(ClusterError):  # then the cluster's own patience decides
                await self._api.delete(pod, kind=POD, grace_s=0)

    async def close(self) -> list[str]:
        """Remove all that was made for the run and see that it is gone; gives what went, as kubectl names it.

        A shared builder stays for others; its registry credentials go with the last release that used it, the lab's pod
        with the last session in it. Raises what kept anything, after all else has gone.
        """
        gone: list[str] = []
        troubles: list[SlipwayError] = []
        try:
            await self._connection.aclose()
            await self._exits.aclose()
        finally:
            # Whatever happened before: nobody else would do it as soon.
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
            raise RuntimeError("something is to belong to a builder before there is one")
        return owned(obj, self._owner)

    async def _run_root(self) -> Object:
        """The run's Lease; made anew if somebody removed it, since what a gone owner owns is removed as well."""
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
        self._sentinel = Sentinel(self._api, chosen)
        self._connection.push_async_callback(self._sentinel.stop)
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
            context = ssl.create_default_context(cafile=ca)
            context.load_cert_chain(cert, key)
            address = await self._service_address(chosen, context, server_name)
        else:
            try:
                address = await self._forwarded()
            except ObjectMissing as error:
                # What was ready a moment ago, or the node that it was on, has gone.
                lost = BuilderUnreachable(f"there is no way to builder {self._names.builder}")
                raise await self._diagnosed(self._sentinel, lost) from error
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
        aside = Aside(lambda: port_forward(self._api, pod), "port-forward")
        return (await self._connection.enter_async_context(aside)).address

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
            action=f"the NetworkPolicy lets in pods with the label {CLIENT}={name} only: give it to this one",
        ) from error
