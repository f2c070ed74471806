"""A builder that several releases share: found or created by any of them, removed only by the sweep.

Its root Lease is renewed by each release that uses it. The sweep deletes the Lease only as it read it, so a renewal
that came in between keeps the builder; a release that finds the Lease on its way out waits and makes a new one.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from datetime import timedelta

from prefect_slipway.infra.domain.errors import ObjectConflict, ObjectMissing
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.apply import check_ours
from prefect_slipway.infra.kubernetes.access.kinds import DEPLOYMENT, LEASE, SECRET, Object, name_of
from prefect_slipway.infra.kubernetes.access.labels import MANAGED_BY, RUN, SLIPWAY, USES
from prefect_slipway.infra.kubernetes.access.lease import expires, gone, renew, timestamp
from prefect_slipway.infra.kubernetes.builders.certificates import BuilderCertificates, make_certificates
from prefect_slipway.infra.kubernetes.builders.manifests import SPEC_HASH, client_tls, deployment, owned, shared_lease
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Names, Run

# They are never renewed: a builder that lives longer is created again when nobody uses it.
_CERTIFICATE_LIFETIME = timedelta(days=2 * 365)
_CERTIFICATE_RESERVE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Shared:
    """`found`: the builder exists as requested, or others use it and it must not be changed."""

    root: Object
    certificates: BuilderCertificates
    found: bool


async def share(api: KubernetesApi, spec: BuilderSpec, run: Run) -> Shared:
    """Become a user of the shared builder of this name. Raises NotOurs and ClusterErrors."""
    while True:
        root = await _root(api, spec, run)
        secret = await _certificates(api, spec, run, root)
        if secret is None:
            continue
        certificates = _read(secret)
        if certificates.expires() - api.now() < _CERTIFICATE_RESERVE and not await other_users(api, spec, run):
            await api.delete(secret, kind=SECRET)
            continue
        there = await api.get(DEPLOYMENT, Names.of(spec, run).builder)
        wanted = deployment(spec, run, certificates)["metadata"]["annotations"][SPEC_HASH]
        as_wanted = there is not None and (there["metadata"].get("annotations") or {}).get(SPEC_HASH) == wanted
        found = as_wanted or (there is not None and bool(await other_users(api, spec, run)))
        return Shared(root, certificates, found)


async def other_users(api: KubernetesApi, spec: BuilderSpec, run: Run) -> list[str]:
    """The Leases of other runs that use the builder and have not expired."""
    selector = f"{MANAGED_BY}={SLIPWAY},{USES}={Names.of(spec, run).builder}"
    leases = await api.find(LEASE, selector)
    return [
        name_of(lease) for lease in leases if lease["metadata"]["labels"][RUN] != run.id and expires(lease) > api.now()
    ]


async def _root(api: KubernetesApi, spec: BuilderSpec, run: Run) -> Object:
    name = Names.of(spec, run).root
    wanted = shared_lease(spec, run, timestamp(api.now()))
    while True:
        there = await api.get(LEASE, name)
        if there is None:
            try:
                return await api.create(wanted)
            except ObjectConflict:
                continue
        check_ours(there, wanted)
        try:
            there = await renew(api, name)
        except ObjectMissing:
            continue
        if not there["metadata"].get("deletionTimestamp"):
            return there
        await gone(api, LEASE, there)


async def _certificates(api: KubernetesApi, spec: BuilderSpec, run: Run, root: Object) -> Object | None:
    """The Secret with the builder's certificates: whoever creates it decides on them. None: it belongs to a root that
    is gone, and is on its way out.
    """
    names = Names.of(spec, run)
    there = await api.get(SECRET, names.client_tls)
    if there is None:
        made = await asyncio.to_thread(make_certificates, names.builder, api.namespace, _CERTIFICATE_LIFETIME)
        try:
            return await api.create(owned(client_tls(spec, run, made), root))
        except ObjectConflict:
            return None
    check_ours(there, client_tls(spec, run, _read(there)))
    owners = {reference["uid"] for reference in there["metadata"].get("ownerReferences") or ()}
    if root["metadata"]["uid"] in owners and not there["metadata"].get("deletionTimestamp"):
        return there
    await api.delete(there, kind=SECRET)
    await asyncio.sleep(0.2)
    return None


def _read(secret: Object) -> BuilderCertificates:
    data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
    return BuilderCertificates(
        ca=data.get("ca.crt", b""),
        server_cert=data.get("server.crt", b""),
        server_key=data.get("server.key", b""),
        client_cert=data.get("tls.crt", b""),
        client_key=data.get("tls.key", b""),
    )
