"""What the contract tests of a builder in a cluster need, on the in-process Kubernetes and on a real one alike."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.buildkit.build.outputs import ImagePush
from prefect_slipway.infra.buildkit.build.request import BuildOutcome, BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Credential, CredentialSource
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import name_of
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.builders.builder import ProvisionedBuilder
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Cache, RegistrySettings, Resources, Run
from prefect_slipway.infra.kubernetes.builders.sweep import everything
from prefect_slipway.infra.local.registry import write_users
from tests.contract.buildkit.parts import Answering, busybox_context

USER, PASSWORD = "builder", "correct horse"


@dataclass(frozen=True)
class RegistryHome:
    """Where a test's registry keeps its users."""

    path: Path

    def set_password(self, password: str) -> None:
        write_users(self.path, {USER: password})


@dataclass
class ClusterUnderTest:
    """`registry`: a registry (HOST:PORT, plain HTTP) that pods reach, with this credential.

    `access`: an empty namespace. `evict`: put a pod out as `kubectl drain` does. `kill`: end all processes of a pod's
    container. `set_password`: make the registry accept another one in place of the credential's. `environment`: for
    processes that are to find the same cluster.
    """

    access: ClusterAccess
    registry: str
    credential: Credential
    evict: Callable[[str], Awaitable[None]]
    kill: Callable[[str], Awaitable[None]]
    set_password: Callable[[str], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def spec(self, **changes: Any) -> BuilderSpec:
        """A small builder for this cluster."""
        usual: dict[str, Any] = {
            "cache": Cache(size="2Gi"),
            "resources": Resources(cpu="50m", memory="64Mi"),
            "registries": {self.registry: RegistrySettings(plain_http=True)},
            "scheduling_patience_s": 1.0,
            "ready_s": 300.0,
        }
        return BuilderSpec(**{**usual, **self.extra, **changes})

    @property
    def credentials(self) -> Answering:
        return Answering(self.credential)


def new_run() -> Run:
    return Run(secrets.token_hex(4), {"team": "tests"})


def buildkit(builder: ProvisionedBuilder) -> BuildKit:
    tls = TlsFiles(builder.ca, builder.cert, builder.key, builder.server_name)
    return BuildKit(BuilderAddress.parse(builder.address, tls))


async def build(builder: ProvisionedBuilder, context: Path, image: str, credentials: CredentialSource) -> BuildOutcome:
    request = BuildRequest(context=context, network="none", outputs=(ImagePush(image, insecure=True),))
    async with buildkit(builder) as daemon:
        return await daemon.build(request, credentials, lambda event: None)


def small_context(folder: Path, steps: str = "") -> Path:
    """Without `steps` nothing is run. A step of one's own gives each test an image of its own."""
    return busybox_context(folder / "context", f"FROM scratch\nCOPY busybox /bin/busybox\n{steps}")


async def names_left(api: KubernetesApi, selector: str) -> list[str]:
    return sorted(f"{kind.name}/{name_of(obj)}" for kind, obj in await everything(api, selector))
