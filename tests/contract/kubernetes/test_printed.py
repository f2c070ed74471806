"""What `slipway manifests` prints is what a release applies."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import Object, kind_of, name_of
from prefect_slipway.infra.kubernetes.access.labels import MANAGED_BY, RUN
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.manifests import SPEC_HASH
from prefect_slipway.infra.kubernetes.builders.printed import printed_objects
from prefect_slipway.infra.kubernetes.builders.spec import Cache, Resources, Toleration
from tests.kubernetes.cluster import ClusterUnderTest, new_run
from tests.kubernetes.server import KubernetesServer

pytestmark = pytest.mark.root

_OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "namespace", "ownerReferences")


def bare(obj: Object) -> Object:
    """Without whose it is, what the API server adds, and this builder's own certificates (by which a hash goes)."""
    found = copy.deepcopy(obj)
    found.pop("status", None)
    parts = [found["metadata"]]
    if found["kind"] == "Deployment":
        parts.append(found["spec"]["template"]["metadata"])
    for metadata in parts:
        for field in _OF_THE_SERVER:
            metadata.pop(field, None)
        for label in (MANAGED_BY, RUN, "team"):
            metadata["labels"].pop(label, None)
        (metadata.get("annotations") or {}).pop(SPEC_HASH, None)
    if found["kind"] == "Service":
        found["spec"].pop("clusterIP", None)
    if found["kind"] == "Secret":
        found["data"] = sorted(found["data"])
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "privileged": True,
            "name": "fast",
            "replicas": 2,
            "pull_policy": "IfNotPresent",
            "pull_secrets": ("pull",),
            "service_account": "builders",
            "annotations": {"example.com/a": "b"},
            "tolerations": (Toleration("ci", "yes", "NoSchedule"), Toleration("spot")),
            "resources": Resources("1", "1Gi", "2", "4Gi"),
            "gc_limit": "1Gi",
        },
        {"cache": Cache("2Gi", persistent=True, storage_class="fast")},
    ],
    ids=["plain", "all", "volume"],
)
async def test_what_is_printed_is_what_is_applied(
    cluster: ClusterUnderTest, kubernetes: KubernetesServer, api: KubernetesApi, options: dict[str, Any]
) -> None:
    """Object by object; they differ in whose they are, and in their certificates."""
    spec = cluster.spec(lifetime="shared", **options)
    printed = printed_objects(spec, "default")
    async with KubernetesBuilder(api, spec, new_run(), source="s") as builder:
        await builder.provision()
        kinds = [obj["kind"] for obj in printed]
        assert len(kinds) == 6 + spec.cache.persistent
        for obj in printed:
            assert obj["metadata"]["namespace"] == "default"
            applied = kubernetes.store.get((kind_of(obj).plural, "default", name_of(obj)))
            assert bare(applied) == bare(obj)
