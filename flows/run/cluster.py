"""A release's builder in Kubernetes: from the request's options to what prefect_slipway.infra.kubernetes provisions."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.domain.errors import ClusterError
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.access.rights import DEPLOY_ROLE, check_rights, rollout_rights
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.options import builder_spec, registry_settings
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Run
from prefect_slipway.infra.kubernetes.builders.sweep import remove_run
from prefect_slipway.infra.kubernetes.workloads.pull_secret import pull_secret_name
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName

logger = logging.getLogger(__name__)


def open_api(context: str | None, namespace: str | None, env: Mapping[str, str] = os.environ) -> KubernetesApi:
    """The cluster of KUBECONFIG (or of this pod); an async context manager. Raises KubeconfigInvalid."""
    return KubernetesApi(ClusterAccess.from_env(env, context=context, namespace=namespace))


async def run_builders(
    request: ReleaseRequest, registry: str, exits: AsyncExitStack, run: str, attempt: int, *, session: bool
) -> list[KubernetesBuilder]:
    """The run's builder (or the shared one), one for each architecture, not provisioned yet. `exits` closes what it
    opens.

    `registry`: the host that images go to; `run`: the flow run's id; `attempt`: how many times it was run before;
    `session`: a shell's pod will be opened. Raises ClusterErrors and InvalidOption.
    """
    api = await exits.enter_async_context(open_api(request.builder.context, request.builder.namespace))
    await _remove_earlier_attempts(api, run, attempt)
    builders = _builders(request, registry, api, run_name(run, attempt), session=session)
    return builders[:1] if session else builders


async def provisioned(builder: KubernetesBuilder) -> BuilderAddress:
    """Create the builder, or again if it was lost; returns its access. Raises ClusterErrors and BuilderErrors."""
    made = await builder.provision()
    return BuilderAddress.parse(
        made.address, TlsFiles(ca=made.ca, cert=made.cert, key=made.key, server_name=made.server_name)
    )


async def check_builder(request: ReleaseRequest, registry: str) -> None:
    """Check that a builder could be created if one will be, so that problems show with the plan and not after it.

    Raises ClusterErrors.
    """
    async with open_api(request.builder.context, request.builder.namespace) as api:
        for builder in _builders(request, registry, api, "plan"):
            await builder.check()


async def check_rights_of_builder(api: KubernetesApi) -> None:
    """Check that this user can create a default builder there. Raises ClusterErrors."""
    await KubernetesBuilder(api, BuilderSpec(), Run("doctor"), source="").check()


async def check_rights_of_deploy(api: KubernetesApi, workload: str) -> None:
    """Check that this user can deploy to the workload, with pull credentials. Raises ClusterErrors and
    InvalidOption."""
    name = WorkloadName.parse(workload)
    rights = rollout_rights(name.kind, name.name, pull_secret_name(name), "default")
    await check_rights(api, rights, role=DEPLOY_ROLE)


def _builders(
    request: ReleaseRequest, registry: str, api: KubernetesApi, run: str, *, session: bool = False
) -> list[KubernetesBuilder]:
    choice, access = request.builder, request.credentials
    registries = registry_settings(registry, insecure=access.insecure_registry, ca_file=access.registry_ca)
    return [
        KubernetesBuilder(
            api,
            spec,
            Run(run, choice.run_labels),
            source=f"{request.source} {request.checkout.path}",
            session=session,
        )
        for spec in builder_spec(choice.options, registries).for_each_architecture()
    ]


def run_name(flow_run_id: str, attempt: int) -> str:
    """A run's short name in a cluster: the beginning of its random flow run id, and the attempt's number.

    A run that is run again has a name of its own: the process before it may still be cleaning up what bears its name.
    """
    return flow_run_id[:8] + (f"-{attempt}" if attempt else "")


async def _remove_earlier_attempts(api: KubernetesApi, flow_run_id: str, attempt: int) -> None:
    """What attempts that died have left need not wait for the sweep."""
    for earlier in range(attempt):
        try:
            await remove_run(api, run_name(flow_run_id, earlier))
        except ClusterError as error:
            logger.warning(
                "objects of an earlier attempt could not be removed and are left to `slipway sweep`: %s", error
            )
