"""The builder of a run: an existing one, or one created in a cluster and created again if it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.endpoints import KUBERNETES, Network, find_builder
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import BuilderError
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.local.connection import StackConnection

if TYPE_CHECKING:
    # The cluster's client takes half a second to import, which a release without one does not pay.
    from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder

R = TypeVar("R")


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
        self._address: BuilderAddress | None = None
        self._network: Network = None
        self._published: CredentialSource | None = None
        # Held while a builder is made, so that several builds that lost theirs make one.
        self._provisioning = asyncio.Lock()
        self.cluster: KubernetesBuilder | None = None

    @property
    def network(self) -> Network:
        """The network of RUN steps without a network."""
        return self._request.network or self._network

    @property
    def is_private_engine(self) -> bool:
        """Whether it is the stack's private engine, the one that has no bridge."""
        stack = self._stack
        return stack is not None and stack.builder_network == "host" and str(self._address) == stack.builder

    @property
    def is_of_this_run(self) -> bool:
        """Whether it is created for this run and removed after it: its own cache begins empty."""
        return self._request.builder == KUBERNETES and self._request.builder_options.get("lifetime", "run") == "run"

    async def check(self, registry: str) -> None:
        """Check that a builder could be created in the cluster, before an approval or a long wait.

        `registry`: the host that images go to. Raises as `address`, but makes nothing.
        """
        if self._request.builder != KUBERNETES:
            self._find()
        elif self.cluster is None:
            from prefect_slipway.flows.run.cluster import check_builder

            await check_builder(self._request, registry)

    async def address(self, registry: str) -> BuilderAddress:
        """The builder's address. In a cluster the builder is created first, and again if it was lost.

        Raises ClusterErrors and BuilderErrors; StackDown where none was named and no stack runs, InvalidOption for what
        is not an address.
        """
        async with self._provisioning:
            if self._request.builder != KUBERNETES:
                return self._find()
            if self._address is None:
                from prefect_slipway.flows.run.cluster import provisioned, run_builder

                if self.cluster is None:
                    self.cluster = await run_builder(
                        self._request, registry, self._exits, self._run, self._attempt, session=self._session
                    )
                self._address = await provisioned(self.cluster)
            return self._address

    def _find(self) -> BuilderAddress:
        """One that need not be made. What builds nothing does without."""
        if self._address is None:
            request = self._request
            self._address, self._network = find_builder(request.builder, builder_tls(request), self._stack)
        return self._address

    async def watched(self, address: BuilderAddress, asked: Coroutine[Any, Any, R]) -> R:
        """The work of the builder at `address`. In a cluster its pod is watched: its end is the cause, and
        a retry makes a new one."""
        if self.cluster is None:
            return await asked
        try:
            return await self.cluster.guard(asked)
        except BuilderError:
            if self._address is address:
                # Unless another build of this run has found it lost already, and made a new one.
                self._address = None
            raise

    async def credentials(self, registries: Registries, image: ImageReference) -> CredentialSource:
        """The source of credentials for BuildKit: Vault, or in a cluster the Secret made from it."""
        if self.cluster is None:
            return registries.credentials()
        if self._published is None:
            self._published = await self.cluster.publish(
                registries.credentials(), sorted(registries.paths()), registry=image.registry, repository=image.group
            )
        return self._published

    async def close(self) -> list[str]:
        """Remove what was created in a cluster; returns the objects' names as in kubectl. Raises ClusterErrors."""
        return await self.cluster.close() if self.cluster is not None else []


def builder_tls(request: ReleaseRequest) -> TlsFiles | None:
    """The TLS files for a builder on TCP."""
    if not (request.builder_ca or request.builder_cert):
        return None
    ca, cert, key = (
        Path(text) if text else None for text in (request.builder_ca, request.builder_cert, request.builder_key)
    )
    return TlsFiles(ca=ca, cert=cert, key=key, server_name=request.builder_name)
