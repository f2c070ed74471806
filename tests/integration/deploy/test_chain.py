"""From source to running pods: a release whose event starts a deploy, and a deploy that somebody starts by its name."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_slipway.flows.reporting.events import IMAGE_RELEASED, resource_id
from tests.integration.deploy import served
from tests.integration.deploy.served import NAME
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rollout_parts import running_images
from tests.prefect_server import PrefectServer
from tests.releases import make_source, result_of
from tests.waiting import PATIENCE_S, calm_looks
from tests.warm import WarmStarter


@pytest.fixture
def server(place: DeployPlace) -> Iterator[PrefectServer]:
    """With a process that runs the deployment."""
    connection = place.stack.connection
    env = {
        **place.env,
        "PREFECT_API_URL": connection.prefect_api_url,
        "PREFECT_HOME": str(connection.home / "prefect-client"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }
    program = f"import asyncio, {served.__name__} as served; asyncio.run(served.serve())"
    folder = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", program], env=env, cwd=folder, stdout=subprocess.DEVNULL)
    yield place.server
    process.terminate()
    process.wait(PATIENCE_S)


async def deployment(server: PrefectServer) -> str:
    """Its id, once it is served."""
    async for _ in calm_looks():
        try:
            return str((await asyncio.to_thread(server.ask, "GET", f"/deployments/name/deploy/{NAME}"))["id"])
        except httpx.HTTPStatusError:
            pass
    raise AssertionError("the deployment is not served")


def automation(deployment: str, image: str, request: dict[str, Any]) -> dict[str, Any]:
    """What people set up in the UI: when this image is released, deploy it."""
    about = {"prefect.resource.id": resource_id(image)}
    trigger = {"type": "event", "posture": "Reactive", "match": about, "expect": [IMAGE_RELEASED], "threshold": 1}
    released = {"reference": "{{ event.payload.reference }}", "version": "{{ event.payload.version }}"}
    action = {"type": "run-deployment", "deployment_id": deployment, "parameters": {"request": {**request, **released}}}
    return {"name": f"deploy {image}", "trigger": trigger | {"within": 0}, "actions": [action]}


async def test_a_release_is_rolled_out_by_its_event(
    commands: WarmStarter, place: DeployPlace, server: PrefectServer, tmp_path: Path
) -> None:
    """The very digest that was released runs, under its version; the deploy's run belongs to the automation, and has
    a link to the deployment."""
    await place.make()
    source = make_source(tmp_path / f"app-{uuid.uuid4().hex[:8]}")
    image = f"{place.stack.connection.registry}/{source.name}"
    # This process, busy as it is, also is the controller: its last word on the image before may stand for a while.
    request = {"workload": "deployment/app", **place.options, "settle_s": 2.0}
    made = automation(await deployment(server), image, request)
    await asyncio.to_thread(server.ask, "POST", "/automations/", made)
    options = ("--image", image, "--format", "json")
    released = result_of(await asyncio.to_thread(commands.run, "release", source, *options))
    run = await place.until(
        "deploy", lambda run: released["digest"] in str(run["parameters"]) and run["state"]["type"] == "COMPLETED"
    )
    assert run["created_by"]["type"] == "AUTOMATION"
    assert run["name"].startswith(f"deploy {source.name} 0.1.0 to ")
    page = f"{place.stack.connection.prefect_ui_url}/deployments/deployment/{run['deployment_id']}"
    assert await place.links(run["id"]) == [f"[{NAME}]({page})"]
    assert f"| [{NAME}](<{page}>) |" in await place.report(run["id"])
    state = await place.state()
    assert state.image == f"{image}@{released['digest']}"
    assert state.version_of(state.image) == "0.1.0"
    # Started by its deployment's name, a bad one fails, and the released one runs again.
    bad = await asyncio.to_thread(server.start, f"deploy/{NAME}", {**request, "reference": place.images["crashing"]})
    ended = await asyncio.to_thread(server.end, bad)
    assert ended["type"] == "FAILED", ended
    assert "RolloutCrashed" in ended["message"] and "rolled back to" in ended["message"]
    assert await running_images(place.api) == {f"{image}@{released['digest']}"}
