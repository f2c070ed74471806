"""`slipway sweep` and the flow of that name tell the Prefect server what went, where there is one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from prefect_slipway.flows.reporting.events import SWEPT, resource_id
from prefect_slipway.flows.request.sweep import SweepRequest
from prefect_slipway.flows.sweep import sweep
from prefect_slipway.infra.kubernetes.builders.manifests import run_lease
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Run
from tests.conftest import run_slipway
from tests.docs.events_page import EVENTS
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rbac import Authorizer, least_role
from tests.kubernetes.server import KubernetesServer
from tests.ports import free_port
from tests.waiting import calm_looks

PAST = "2020-01-01T00:00:00.000000Z"


@pytest.fixture(autouse=True)
def builders_role(place: DeployPlace, kubernetes: KubernetesServer) -> None:
    """The account may do what builders take, not what deploys take."""
    kubernetes.fault = Authorizer(least_role(), kubernetes.store, token="deployer")


async def dead_run(place: DeployPlace, name: str) -> None:
    """A run root that has expired."""
    await place.api.create(run_lease(BuilderSpec(), Run(name), 60, PAST))


async def swept(place: DeployPlace, *names: str) -> dict[str, Any]:
    """What the server was told of these objects, and of no others; it files an event some seconds after it came."""
    about = {"id": [resource_id(place.api.namespace, "namespace")]}
    query = {"filter": {"event": {"name": [SWEPT]}, "any_resource": about}, "limit": 50}
    async for _ in calm_looks():
        for event in (await place.ask("/events/filter", query))["events"]:
            if event["payload"]["objects"] == list(names):
                assert event["payload"].keys() <= EVENTS[SWEPT].payload.keys()
                return dict(event["payload"])
    raise AssertionError("the server was not told")


async def test_the_command_announces_what_went(place: DeployPlace) -> None:
    """With names and number."""
    await dead_run(place, "left")
    done = await asyncio.to_thread(run_slipway, "sweep", env=place.env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "removed lease/slipway-left\n", "> sweep\n")
    assert (await swept(place, "lease/slipway-left"))["count"] == 1


async def test_the_flow_announces_what_went(place: DeployPlace) -> None:
    """A root that nothing belongs to is an object as well."""
    await dead_run(place, "gone")
    with place.prefect():
        assert await sweep(SweepRequest()) == ["lease/slipway-gone"]
    told = await swept(place, "lease/slipway-gone")
    assert told["count"] == 1
    assert (await asyncio.to_thread(place.server.state, told["run"]))["message"] == "removed 1 object"


async def test_a_server_that_is_away_undoes_no_sweep(place: DeployPlace) -> None:
    """It is said, and what went is named."""
    await dead_run(place, "unheard")
    env = {**place.env, "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    done = await asyncio.to_thread(run_slipway, "sweep", env=env)
    assert (done.returncode, done.stdout) == (0, "removed lease/slipway-unheard\n")
    step, why, consequence = done.stderr.splitlines()
    assert step == "> sweep"
    assert why.endswith("does not answer: connection refused")
    assert consequence == "the Prefect server did not record it, so metrics do not count it"
