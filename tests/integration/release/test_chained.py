"""A release tells what came of it, so that others go on: by its event, by its result, in other processes too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.automations import AutomationCore
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.events import EventTrigger
from prefect.events.actions import RunDeployment
from prefect.exceptions import ObjectNotFound

from prefect_slipway.flows.reporting.events import IMAGE_RELEASED, RELEASE_FAILED, resource_id
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.domain.errors import StepFailed
from prefect_slipway.infra.registry.client import RegistryClient
from tests.conftest import RunningStack
from tests.docs.events_page import EVENTS
from tests.integration.release import chained
from tests.integration.release.chained import NAME, pipeline
from tests.integration.release.conftest import Release
from tests.releases import result_of
from tests.waiting import PATIENCE_S, calm_looks
from tests.warm import WarmStarter


@pytest.fixture(scope="module")
def runner(stack: RunningStack) -> Iterator[None]:
    """A process that runs the deployments, against the stack."""
    connection = stack.connection
    env = {
        **stack.env,
        "PREFECT_API_URL": connection.prefect_api_url,
        "PREFECT_HOME": str(connection.home / "prefect-client"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }
    # Imported and not run as a program: the deployments' entrypoints name the flows' module.
    program = f"import asyncio, {chained.__name__} as chained; asyncio.run(chained.serve())"
    folder = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", program], env=env, cwd=folder, stdout=subprocess.DEVNULL)
    yield
    process.terminate()
    process.wait(PATIENCE_S)


async def _events(name: str, image: str) -> list[dict[str, Any]]:
    """The server's events of that name about an image; it writes them down some time after it took them."""
    wanted = {"event": {"name": [name]}, "any_resource": {"id": [resource_id(image)]}}
    async with get_client() as client:
        async for _ in calm_looks():
            answer = await client.request("POST", "/events/filter", json={"filter": wanted})
            if found := answer.json()["events"]:
                return list(found)
    raise AssertionError(f"no event {name} about {image}")


async def _deployment(flow: str) -> UUID:
    async with get_client() as client:
        async for _ in calm_looks():
            try:
                return (await client.read_deployment_by_name(f"{flow}/{NAME}")).id
            except ObjectNotFound:
                pass
    raise AssertionError(f"{flow} is not served")


async def test_every_release_emits_its_event(commands: WarmStarter, source: Path, run_release: Release) -> None:
    """What was released, from what, by which run, why it ran and how long each step took; once, and not for nothing."""
    result = result_of(commands.run("release", source, "--format", "json"))
    nothing = await run_release(source=str(source), version={"only_new": True})
    (event,) = await _events(IMAGE_RELEASED, result["image"])
    assert event["resource"]["prefect.resource.name"] == result["image"]
    payload = event["payload"]
    assert payload.keys() == EVENTS[IMAGE_RELEASED].payload.keys()
    for name in ("image", "reference", "digest", "version", "revision", "tags", "steps", "cached_steps"):
        assert payload[name] == result[name], name
    assert payload["run"] == result["flow_run_id"]
    assert (payload["previous_version"], payload["trigger"]) == (None, "command line")
    assert {"fetch source", "build and push", "tag"} <= payload["steps_s"].keys()
    assert payload["duration_s"] >= payload["steps_s"]["build and push"] > 0
    related = {one["prefect.resource.role"]: one["prefect.resource.id"] for one in event["related"]}
    assert related["flow-run"] == f"prefect.flow-run.{result['flow_run_id']}"
    assert not nothing.released


async def test_a_failed_release_emits_its_cause(run_release: Release, source: Path, stack: RunningStack) -> None:
    """The cause by its name, without its text; and no image is said to be released."""
    (source / "Dockerfile").write_text('FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "false"]\n')
    with pytest.raises(StepFailed):
        await run_release(source=str(source))
    (event,) = await _events(RELEASE_FAILED, f"{stack.connection.registry}/{source.name}")
    assert event["payload"].keys() == EVENTS[RELEASE_FAILED].payload.keys()
    assert (event["payload"]["cause"], event["payload"]["version"]) == ("StepFailed", "0.1.0")


async def test_a_release_is_chained(
    run_release: Release, runner: None, source: Path, registry: RegistryClient, stack: RunningStack
) -> None:
    """By run_deployment, whose result is read in this process; by an automation on its event; and as a subflow."""
    image = f"{stack.connection.registry}/{source.name}"
    follow = await _deployment("follow")
    automation = AutomationCore(
        name=f"follow {source.name}",
        trigger=EventTrigger(expect={IMAGE_RELEASED}, match={"prefect.resource.id": resource_id(image)}),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=follow,
                parameters={
                    "reference": {"__prefect_kind": "jinja", "template": "{{ event.payload.reference }}"},
                },
            )
        ],
    )
    async with get_client() as client:
        await client.create_automation(automation)
    await _deployment("release")
    request: dict[str, object] = {"source": str(source)}

    run = await arun_deployment(f"release/{NAME}", parameters={"request": request}, timeout=180, poll_interval=0.5)
    assert run.state is not None
    result = await run.state.aresult()
    assert isinstance(result, ReleaseResult)
    assert result.reference == f"{image}:0.1.0@{(await registry.manifest(source.name, '0.1.0')).digest}"
    (event,) = await _events(IMAGE_RELEASED, image)
    assert event["payload"]["trigger"] == f"deployment {NAME}"

    started = await _run_of(follow)
    assert started.parameters == {"reference": result.reference}
    assert started.created_by is not None
    assert (started.created_by.type, started.created_by.display_value) == ("AUTOMATION", automation.name)

    second = await pipeline(ReleaseRequest.read(request))
    assert second == f"{image}:0.2.0@{(await registry.manifest(source.name, '0.2.0')).digest}"


async def _run_of(deployment: UUID) -> FlowRun:
    of_it = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
    async with get_client() as client:
        async for _ in calm_looks():
            for run in await client.read_flow_runs(flow_run_filter=of_it):
                if run.state is not None and run.state.is_final():
                    assert run.state.is_completed()
                    return run
    raise AssertionError("the automation started nothing")
