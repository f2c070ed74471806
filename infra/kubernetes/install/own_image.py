"""`python3 -m prefect_slipway.infra.kubernetes.install.own_image`: the image of this pod, as its manifest names it.

The runs' jobs get it, so that an installation names its image in one place, where kustomize's `images:` changes it.
"""

from __future__ import annotations

import asyncio
import socket

from prefect_slipway.infra.domain.errors import ObjectMissing
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import POD
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess


async def own_image(access: ClusterAccess, pod: str) -> str:
    """Raises ClusterErrors; the right to `get` pods is needed."""
    async with KubernetesApi(access) as api:
        found = await api.get(POD, pod)
    if found is None:
        raise ObjectMissing(f"the pod {pod} does not exist", action="run this in a pod whose hostname is its name")
    return str(found["spec"]["containers"][0]["image"])


if __name__ == "__main__":
    # A pod's hostname is its name, unless its manifest says otherwise.
    print(asyncio.run(own_image(ClusterAccess(None), socket.gethostname())))  # noqa: T201
