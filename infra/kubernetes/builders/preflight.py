"""Checks before a builder is created: the required permissions, and whether its names are free."""

from __future__ import annotations

from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.apply import check_free
from prefect_slipway.infra.kubernetes.access.kinds import Object
from prefect_slipway.infra.kubernetes.access.rights import BUILDER_ROLE, builder_rights, check_rights
from prefect_slipway.infra.kubernetes.builders.certificates import BuilderCertificates
from prefect_slipway.infra.kubernetes.builders.manifests import (
    build_config,
    builder_objects,
    client_tls,
    registry_credentials,
    run_lease,
    shared_lease,
)
from prefect_slipway.infra.kubernetes.builders.shell import cli_pod
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Run

_NO_CERTIFICATES = BuilderCertificates(ca=b"", server_cert=b"", server_key=b"", client_cert=b"", client_key=b"")


def planned_objects(spec: BuilderSpec, run: Run, *, session: bool = False) -> list[Object]:
    """All that is written for a builder, roots first; nothing secret is in them yet. `session`: with the
    `buildkit-cli` pod."""
    objects = [run_lease(spec, run, 0, "")]
    if spec.lifetime == "shared":
        objects += [shared_lease(spec, run, ""), client_tls(spec, run, _NO_CERTIFICATES)]
    objects += builder_objects(spec, run, _NO_CERTIFICATES, None)
    objects += [registry_credentials(spec, run, "{}"), build_config(spec, run, "", "")]
    return [*objects, cli_pod(spec, run)] if session else objects


async def check_place(api: KubernetesApi, spec: BuilderSpec, run: Run, *, forward: bool, session: bool = False) -> None:
    """Raises ClusterForbidden for rights that are missing, NotOurs for a name that somebody else has. Writes nothing.

    `forward`: it is reached by a port-forward. `session`: a session in the `buildkit-cli` pod is wanted.
    """
    objects = planned_objects(spec, run, session=session)
    rights = builder_rights(objects, forward=forward, session=session)
    await check_rights(api, rights, role=BUILDER_ROLE)
    await check_free(api, objects)
