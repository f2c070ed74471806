"""The builder of a run: its nodes are there already, or created in a cluster and created again if they are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prefect_slipway.flows.request.builder import BuilderChoice
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.endpoints import KUBERNETES, Network, find_builders
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import BuilderError, SlipwayError
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.local.connection import StackConnection

if TYPE_CHECKING:
    # The cluster's client takes half a second to import, which a release without one does not pay.
    from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder

R = TypeVar("R")


class BuilderNode:
    """One daemon of a builder. `name`: its address, or its name in the cluster. `network`: of RUN steps without a
    network, None for the daemon's default. `cluster`: what makes it, None for one that is there."""

    def __init__(
        self,
        name: str,
        address: BuilderAddress | None = None,
        network: Network = None,
        cluster: KubernetesBuilder | None = None,
    ) -> None:
        self.name = name
        self.network = network
        self.cluster = cluster
        self._address = address
        # Held while it is made, so that several builds that lost theirs make one.
        self._provisioning = asyncio.Lock()

    async def address(self) -> BuilderAddress:
        """In a cluster the daemon is created first, and again if it was lost. Raises ClusterErrors and
        BuilderErrors."""
        async with self._provisioning:
            if self._address is None:
                from prefect_slipway.flows.run.cluster import provisioned

                assert self.cluster is not None, "a node without an address is made"
                self._address = await provisioned(self.cluster)
            return self._address

    async def watched(
        self, work: Callable[[BuilderAddress], Coroutine[Any, Any, R]], at: BuilderAddress | None = None
    ) -> R:
        """The daemon's work. In a cluster its pod is watched: its end is the cause, and a retry makes a new one. `at`:
        where it was, for what is not worth a new one. Raises as `address`, and what `work` raises."""
        address = at or await self.address()
        if self.cluster is None:
            return await work(address)
        try:
            return await self.cluster.guard(work(address))
        except BuilderError:
            if self._address is address:
                # Unless another build of this run has found it lost already, and made a new one.
                self._address = None
            raise


class RunBuilder:
    """The builder of a run. `run`: the flow run's id; `attempt`: the number of earlier attempts; `session`: a shell
    will be opened in the cluster."""

    def __init__(
        self,
        request: ReleaseRequest,
        stack: StackConnection | None,
        exits: AsyncExitStack,
        *,
        run: str,
        attempt: int = 0,
        session: bool = False,
    ) -> None:
        self._request = request
        self._stack = stack
        self._exits = exits
        self._run = run
        self._attempt = attempt
        self._session = session
        self._nodes: tuple[BuilderNode, ...] = ()
        self._published: CredentialSource | None = None
        self._opening = asyncio.Lock()

    def ask_for(self, request: ReleaseRequest) -> None:
        """Another request, before the first node is opened."""
        assert not self._nodes, "no node is opened yet"
        self._request = request

    @property
    def is_made(self) -> bool:
        """Whether something may have been created for it in a cluster."""
        return any(node.cluster is not None for node in self._nodes)

    @property
    def has_only_host_network(self) -> bool:
        """Whether RUN steps have no other network on any node. Raises StackDown and InvalidOption as `nodes`."""
        return not self._in_cluster and all(node.network == "host" for node in self._nodes or self._find())

    @property
    def is_several(self) -> bool:
        """Whether several nodes are there already, and can be asked."""
        return len(self._nodes) > 1 and not self.is_made

    @property
    def _in_cluster(self) -> bool:
        return self._request.builder.address == KUBERNETES

    @property
    def is_of_this_run(self) -> bool:
        """Whether it is created for this run and removed after it: its own cache begins empty."""
        return self._in_cluster and self._request.builder.options.get("lifetime", "run") == "run"

    async def check(self, registry: str) -> None:
        """Check that a builder could be created in the cluster, before an approval or a long wait.

        `registry`: the host that images go to. Raises as `nodes`, but makes nothing.
        """
        if not self._in_cluster:
            await self.nodes(registry)
        elif not self._nodes:
            from prefect_slipway.flows.run.cluster import check_builder

            await check_builder(self._request, registry)

    async def nodes(self, registry: str) -> Sequence[BuilderNode]:
        """Its nodes, at least one. In a cluster nothing is created yet.

        Raises ClusterErrors; StackDown where none was named and no stack runs, InvalidOption for what is not an
        address.
        """
        async with self._opening:
            if not self._nodes:
                self._nodes = await self._open(registry) if self._in_cluster else self._find()
            return self._nodes

    async def node(self, registry: str, name: str) -> BuilderNode:
        """The node of this name. Raises as `nodes`."""
        return next(node for node in await self.nodes(registry) if node.name == name)

    def is_private_engine(self, address: BuilderAddress) -> bool:
        """Whether it is the stack's private engine, the one that has no bridge."""
        stack = self._stack
        return stack is not None and stack.builder_network == "host" and str(address) == stack.builder

    def _find(self) -> tuple[BuilderNode, ...]:
        """Those that need not be made. What builds nothing does without."""
        choice = self._request.builder
        found = find_builders(choice.address, builder_tls(choice), self._stack)
        return tuple(BuilderNode(str(address), address, network) for address, network in found)

    async def _open(self, registry: str) -> tuple[BuilderNode, ...]:
        from prefect_slipway.flows.run.cluster import run_builders

        opened = await run_builders(
            self._request, registry, self._exits, self._run, self._attempt, session=self._session
        )
        return tuple(BuilderNode(cluster.name, cluster=cluster) for cluster in opened)

    async def credentials(self, registries: Registries, image: ImageReference) -> CredentialSource:
        """The source of credentials for BuildKit: Vault, or in a cluster the Secret made from it, once a node is
        provisioned."""
        cluster = self._nodes[0].cluster if self._nodes else None
        if cluster is None:
            return registries.credentials()
        async with self._opening:
            if self._published is None:
                self._published = await cluster.publish(
                    registries.credentials(),
                    sorted(registries.paths()),
                    registry=image.registry,
                    repository=image.group,
                )
            return self._published

    async def close(self) -> list[str]:
        """Remove what was created in a cluster; returns the objects' names as in kubectl. Raises ClusterErrors."""
        gone: list[str] = []
        troubles: list[SlipwayError] = []
        for node in reversed(self._nodes):
            if node.cluster is not None:
                try:
                    gone += await node.cluster.close()
                except SlipwayError as error:
                    troubles.append(error)
        if troubles:
            raise troubles[-1]
        return gone


def builder_tls(choice: BuilderChoice) -> TlsFiles | None:
    """The TLS files for a builder on TCP."""
    if not (choice.ca or choice.cert):
        return None
    ca, cert, key = (Path(text) if text else None for text in (choice.ca, choice.cert, choice.key))
    return TlsFiles(ca=ca, cert=cert, key=key, server_name=choice.name)
