"""The flows' contract on the Kubernetes in this process, and a rollback whose registry is down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import RegistryUnreachable
from tests.kubernetes.deploy_contract import DeployContract
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rollout_parts import push_images, running_images
from tests.kubernetes.server import KubernetesServer
from tests.servers import registry_server


class TestDeployInProcess(DeployContract):
    pass


async def test_a_rollback_goes_on_while_its_registry_is_down(
    place: DeployPlace, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    """To what the workload remembers; a version that only the registry knows has to wait for it."""
    assert kubernetes.workloads is not None
    kubernetes.workloads.pulls_with = None
    place.options.pop("pull_credentials")
    with registry_server(tmp_path) as host:
        place = replace(place, images=push_images(host, "app", None))
        await place.make()
        for behaviour in ("good", "better"):
            await place.deploy(behaviour)
    back = await place.rollback()
    assert (back.version, back.reference, back.changed) == ("1.0.0", place.images["good"], True)
    assert await running_images(place.api) == {place.images["good"]}
    with pytest.raises(RegistryUnreachable):
        await place.rollback("1.2.0")
