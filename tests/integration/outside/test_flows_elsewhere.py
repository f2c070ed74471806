"""Every flow served, taken from a user's repository by a process worker, and called by a user's own flow."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import run_program
from tests.git_repository import make_bare, make_repository
from tests.git_server import serve_git
from tests.installed import Installed
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rbac import Authorizer, least_role
from tests.kubernetes.rollout_parts import running_images
from tests.kubernetes.server import KubernetesServer
from tests.releases import make_source
from tests.waiting import PATIENCE_S, calm_looks

MODULE = Path(__file__).with_name("everything.py")
NAMES = ("release", "deploy", "rollback", "promote", "check-bases", "sweep", "pipeline")
POOL = "outside"

DEPLOY = """
from prefect import flow
for name in {names}:
    flow.from_source(source={source!r}, entrypoint=f"everything.py:{{name}}").deploy(
        "outside", work_pool_name={pool!r}, print_next_steps=False
    )
"""


@dataclass
class Elsewhere:
    """Where the flows' deployments are, all called `outside`, and what runs them."""

    place: DeployPlace
    process: subprocess.Popen[bytes]
    log: Path

    async def run(self, flow: str, **parameters: Any) -> dict[str, Any]:
        """A run of a deployment, at its end."""
        found = await self.deployment(flow)
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        made = await asyncio.to_thread(
            self.place.server.ask, "POST", f"/deployments/{found['id']}/create_flow_run", body
        )
        state = await asyncio.to_thread(self.place.server.end, made["id"], 600.0)
        assert state["type"] == "COMPLETED", (flow, state["message"], self.log.read_text()[-3000:])
        return state

    async def deployment(self, flow: str) -> dict[str, Any]:
        """Once it is there."""
        async for _ in calm_looks():
            try:
                return dict(await asyncio.to_thread(self.place.server.ask, "GET", f"/deployments/name/{flow}/outside"))
            except httpx.HTTPStatusError:
                assert self.process.poll() is None, self.log.read_text()[-3000:]
        raise AssertionError(f"{flow} is not there: {self.log.read_text()[-3000:]}")


def environment(place: DeployPlace) -> dict[str, str]:
    connection = place.stack.connection
    return {
        **place.env,
        "PREFECT_API_URL": connection.prefect_api_url,
        "PREFECT_HOME": str(connection.home / "prefect-client"),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }


@contextmanager
def running(place: DeployPlace, folder: Path, *command: str | Path) -> Iterator[Elsewhere]:
    """A command that lasts, in a folder that has nothing of the repository."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(place), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield Elsewhere(place, process, log)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture(params=["served", "from source"])
async def elsewhere(
    request: pytest.FixtureRequest, installed: Installed, place: DeployPlace, tmp_path: Path
) -> AsyncIterator[Elsewhere]:
    """`python everything.py`; or everything.py in a git repository, deployed to Prefect's own process worker."""
    folder = tmp_path / "folder"
    folder.mkdir()
    if request.param == "served":
        shutil.copy2(MODULE, folder)
        with running(place, folder, installed.python, "everything.py") as made:
            yield made
        return
    users = make_repository(tmp_path / "users", {"everything.py": MODULE.read_text()})
    (tmp_path / "served").mkdir()
    make_bare(tmp_path / "served" / "users.git", users)
    worker: list[str | Path] = [installed.bin / "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    with serve_git(tmp_path / "served") as server, running(place, folder, *worker) as made:
        await there(place, f"/work_pools/{POOL}")
        names = [name.replace("-", "_") for name in NAMES]
        program = DEPLOY.format(names=names, source=server.url("users.git"), pool=POOL)
        command = (installed.python, "-c", program)
        done = await asyncio.to_thread(run_program, *command, cwd=folder, env=environment(place))
        assert done.returncode == 0, done.stdout + done.stderr
        yield made


async def there(place: DeployPlace, path: str) -> None:
    async for _ in calm_looks():
        try:
            await asyncio.to_thread(place.server.ask, "GET", path)
        except httpx.HTTPStatusError:
            pass
        else:
            return
    raise AssertionError(f"{path} did not come")


# Eight processes that import Prefect, for each of the two ways: a busy machine takes its time.
@pytest.mark.timeout(1800)
async def test_every_flow_runs_outside_of_the_repository(
    elsewhere: Elsewhere, place: DeployPlace, kubernetes: KubernetesServer, tmp_path: Path
) -> None:
    """With parameters as JSON, as a server keeps them, and each to its end."""
    # Deploys have a Role of their own; the sweep needs that of releases as well.
    role = least_role("slipway-deploy")
    role["rules"] += least_role()["rules"]
    kubernetes.fault = Authorizer(role, kubernetes.store, token="deployer")
    source = make_source(tmp_path / f"app-{uuid.uuid4().hex[:8]}")
    (source / "docker-bake.json").write_text(json.dumps({"target": {"default": {"context": "."}}}))
    request = {"source": str(source), "image": f"{place.stack.connection.registry}/{source.name}"}
    for name in ("app", "second"):
        await place.make(name)
    workload = {"workload": "deployment/app", **place.options}
    timing = {key: value for key, value in place.options.items() if key != "pull_credentials"}
    ways = [
        {"name": name, "workload": f"deployment/{name}", "pull_credentials": place.options["pull_credentials"]}
        | {"approval": False}
        for name in ("app", "second")
    ]

    states = await asyncio.gather(
        elsewhere.run("release", request=request),
        elsewhere.run("release", request={"source": str(source), "bake": {}}),
        elsewhere.run("deploy", request={"reference": place.images["better"], **workload}),
        elsewhere.run("sweep", request={}),
    )
    assert states[0]["message"].endswith(f"{source.name} 0.1.0 released")
    assert await running_images(place.api) == {place.images["better"]}
    # The application that is checked is the one that was released.
    identity = (await elsewhere.deployment("release"))["id"]
    changed = {"parameters": {"request": request}}
    await asyncio.to_thread(place.server.ask, "PATCH", f"/deployments/{identity}", changed)
    await asyncio.gather(
        elsewhere.run("promote", request={"environments": ways, **timing}),
        elsewhere.run("check-bases", request={"applications": [{"deployment": "release/outside"}]}),
    )
    assert await running_images(place.api, "second") == {place.images["better"]}
    await elsewhere.run("rollback", request=workload)
    assert await running_images(place.api) == {place.images["good"]}
    await elsewhere.run("pipeline", source=str(source), to=workload)
    (image,) = await running_images(place.api)
    assert f"/{source.name}@sha256:" in image
