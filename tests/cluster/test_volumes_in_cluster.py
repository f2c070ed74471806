"""A builder's cache on a PersistentVolumeClaim: it outlives the pod, and goes with the builder."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import POD
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.spec import Cache
from prefect_slipway.infra.kubernetes.builders.sweep import remove_run
from tests.cluster.conftest import kubectl
from tests.contract.buildkit.parts import run as run_step
from tests.kubernetes.cluster import ClusterUnderTest, build, names_left, new_run, small_context
from tests.kubernetes.contract import OURS


@pytest.fixture
def storage_class(namespace: str) -> str:
    """A class whose one volume is a folder of the node, for this test alone."""
    kubectl(
        *("create", "--validate=false", "-f", "-"),
        stdin=f"""
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {namespace}}}
provisioner: kubernetes.io/no-provisioner
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {namespace}}}
spec:
  storageClassName: {namespace}
  capacity: {{storage: 2Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {{path: /var/tmp/{namespace}, type: DirectoryOrCreate}}
""",
    )
    return namespace


async def test_a_cache_on_a_volume_outlives_its_pod(
    cluster: ClusterUnderTest, api: KubernetesApi, storage_class: str, tmp_path: Path
) -> None:
    """The pod is deleted; the one that follows finds the step in its cache. Privileged: a node's folder is root's."""
    cache = Cache(size="1Gi", persistent=True, storage_class=storage_class)
    spec = cluster.spec(lifetime="shared", privileged=True, cache=cache)
    context = small_context(tmp_path, run_step("echo once > /once"))
    image = f"{cluster.registry}/team/volume:1"
    try:
        async with KubernetesBuilder(api, spec, new_run(), source="s") as builder:
            provisioned = await builder.provision()
            first = await build(provisioned, context, image, cluster.credentials)
            await api.delete((await api.get(POD, provisioned.pod)) or {}, kind=POD, grace_s=1)
            again = await builder.provision()
            assert again.pod != provisioned.pod
            second = await build(again, context, image, cluster.credentials)
        assert first.cached_steps == 0
        assert second.cached_steps >= 2, second  # COPY and RUN
        await remove_run(api, "shared")
        assert await names_left(api, OURS) == []
    finally:
        kubectl("delete", "persistentvolume", storage_class, "--wait=false")
        kubectl("delete", "storageclass", storage_class)
