"""The components of a repository: each its own version, tag and run, bases by the digest that was just built."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from uuid import UUID

import pytest
from prefect import get_client
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from prefect_slipway.flows.release import release
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.values.components import RELEASED, UNCHANGED
from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.domain.errors import ComponentsFailed
from prefect_slipway.infra.registry.client import RegistryClient
from tests.conftest import RunningStack
from tests.git_repository import commit, git
from tests.integration.release.conftest import Release
from tests.integration.release.shop import make_shop
from tests.releases import Traces, complaint, result_of, run_line
from tests.warm import WarmStarter

FILE = """\
[components.base]
[components.api]
depends_on = ["base"]
[components.app]
depends_on = ["api"]
[components.web]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """base ← api ← app, and web alone."""
    return make_shop(tmp_path, FILE, {"api": "base", "app": "api"})


def states(result: dict[str, object]) -> dict[str, str]:
    components = result["components"]
    assert isinstance(components, list)
    return {each["name"]: f"{each['state']} {each['version']}" for each in components}


async def layers(registry: RegistryClient, repository: str, tag: str) -> list[str]:
    manifest = await registry.manifest(repository, tag)
    child = next(child for child in manifest.children if child.is_image) if manifest.is_index else None
    image = await registry.manifest(repository, child.digest) if child is not None else manifest
    return [blob.digest for blob in image.blobs[1:]]


async def test_a_failing_component_holds_up_what_needs_it_alone(
    commands: WarmStarter, shop: Path, traces: Traces, registry: RegistryClient
) -> None:
    """Exit code and error say which; the same command releases the rest, and nothing twice."""
    (shop / "api/Dockerfile").write_text("FROM base\n" + run_line("echo broken; exit 3"))
    commit(shop, "fix: breaks the api", {})
    ended = commands.run("release", shop, "--format", "json")
    said = complaint(ended)
    assert "not released: api, app (2 released, 1 failed, 1 skipped of 4 components)" in said
    assert "app: skipped: it needs api" in said and "base: 0.1.0 released" in said
    assert json.loads(ended.stdout)["error"]["cause"] == "ComponentsFailed"
    assert sorted(git(shop, "tag").split()) == ["base/v0.1.0", "web/v0.1.0"]
    (run,) = [each for each in traces.runs(shop.name) if each["parent_task_run_id"] is None]
    assert run["state_type"] == "FAILED"

    (shop / "api/Dockerfile").write_text("FROM base\nCOPY message /api\n")
    commit(shop, "fix: the api builds", {})
    result = result_of(commands.run("release", shop, "--format", "json"))
    assert states(result) == {
        "base": "unchanged 0.1.0",
        "web": "unchanged 0.1.0",
        "api": "released 0.1.0",
        "app": "released 0.1.0",
    }
    held = await layers(registry, f"{shop.name}/base", "0.1.0")
    built = await layers(registry, f"{shop.name}/api", "0.1.0")
    assert built[: len(held)] == held and len(built) == len(held) + 1
    assert (await layers(registry, f"{shop.name}/app", "0.1.0"))[: len(built)] == built
    again = result_of(commands.run("release", shop, "--format", "json"))
    assert set(states(again).values()) == {"unchanged 0.1.0"} and again["released"] is False

    # What is based on a new version gets a patch, on its new digest.
    commit(shop, "feat: base", {"base/message": "two"})
    plan = commands.run("plan", shop, "--format", "json")
    assert json.loads(plan.stdout)["order"] == [["base"], ["api"], ["app"]]
    result = result_of(commands.run("release", shop, "--format", "json"))
    assert states(result) == {
        "base": "released 0.2.0",
        "web": "unchanged 0.1.0",
        "api": "released 0.1.1",
        "app": "released 0.1.1",
    }
    held = await layers(registry, f"{shop.name}/base", "0.2.0")
    assert (await layers(registry, f"{shop.name}/app", "0.1.1"))[: len(held)] == held
    run = traces.runs("api 0.1.1")[0]
    assert run["parameters"]["request"]["version"]["reason"] == "base has a new version"


async def test_a_context_that_is_a_component_is_by_digest_too(
    commands: WarmStarter, shop: Path, registry: RegistryClient
) -> None:
    """As a base that the Dockerfile names: the version in its reference is an old one as soon as the base changes."""
    context = f'contexts = {{ under = "docker-image://{registry.host}/{shop.name}/base:0.1.0" }}'
    (shop / "slipway.toml").write_text(f"{FILE}[components.api.build]\n{context}\n")
    (shop / "api/Dockerfile").write_text("FROM under\nCOPY message /api\n")
    commit(shop, "feat: api under another name", {})
    result_of(commands.run("release", shop, "--format", "json"))
    commit(shop, "feat: base", {"base/message": "two"})
    result = result_of(commands.run("release", shop, "--format", "json"))
    assert states(result)["base"] == "released 0.2.0" and states(result)["api"] == "released 0.1.1"
    held = await layers(registry, f"{shop.name}/base", "0.2.0")
    assert (await layers(registry, f"{shop.name}/api", "0.1.1"))[: len(held)] == held


async def test_two_runs_at_once_release_nothing_twice(
    run_release: Release, shop: Path, registry: RegistryClient
) -> None:
    """From a git URL at a ref, as a deployment does it: whoever is later is refused, or finds what is public."""
    url = shop.as_uri()
    git(shop, "branch", "stable")
    commit(shop, "feat: not on the branch", {"web/more": ""})
    both = await asyncio.gather(
        *(run_release(source=url, checkout={"ref": "stable"}) for _ in range(2)), return_exceptions=True
    )
    assert all(isinstance(each, ReleaseResult | ComponentsFailed) for each in both), both
    last = await run_release(source=url, checkout={"ref": "stable"})
    assert {each.state for each in last.components} <= {RELEASED, UNCHANGED}
    assert sorted(git(shop, "tag").split()) == [f"{name}/v0.1.0" for name in ("api", "app", "base", "web")]
    assert git(shop, "for-each-ref", "refs/slipway") == ""
    for name in ("api", "app", "base", "web"):
        assert await registry.tags(f"{shop.name}/{name}") == ["0.1.0"]
    assert git(shop, "rev-parse", "web/v0.1.0^{commit}") == git(shop, "rev-parse", "stable")


async def test_a_retried_run_releases_what_is_missing(
    run_release: Release, shop: Path, traces: Traces, stack: RunningStack
) -> None:
    """As by *Retry* in the UI: the runs of its first attempt are not taken for those of the second."""
    good = (shop / "api/Dockerfile").read_text()
    (shop / "api/Dockerfile").write_text("FROM base\n" + run_line("exit 3"))
    commit(shop, "fix: breaks the api", {})
    with pytest.raises(ComponentsFailed):
        await run_release(source=str(shop))
    (shop / "api/Dockerfile").write_text(good)
    commit(shop, "fix: the api builds", {})
    settings = {PREFECT_API_URL: stack.connection.prefect_api_url}
    with temporary_settings(settings):
        async with get_client() as client:
            run = next(UUID(each["id"]) for each in traces.runs(shop.name) if each["name"] == f"release {shop.name}")
            await client.set_flow_run_state(run, Scheduled(), force=True)
            again = await client.read_flow_run(run)
        request = ReleaseRequest.read({"source": str(shop)})
        result = await run_flow_async(release, flow_run=again, parameters={"request": request})
    assert isinstance(result, ReleaseResult)
    assert {each.name: each.state for each in result.components} == {
        "base": UNCHANGED,
        "web": UNCHANGED,
        "api": RELEASED,
        "app": RELEASED,
    }
    assert all(each.name in each.references[0] for each in result.components if each.state == RELEASED)


async def test_interrupted_it_goes_on_where_it_was(commands: WarmStarter, shop: Path, traces: Traces) -> None:
    """What is public stays; nothing else of it is left."""
    (shop / "api/Dockerfile").write_text("FROM base\n" + run_line("sleep 60"))
    commit(shop, "fix: slow", {})
    command = commands.start("release", shop, "--format", "json")
    command.until("sleep 60")
    command.signal(signal.SIGINT)
    ended = command.end()
    assert ended.code == 130 and "interrupted" in ended.stderr
    assert "base/v0.1.0" in git(shop, "tag").split() and git(shop, "for-each-ref", "refs/slipway") == ""
    (shop / "api/Dockerfile").write_text("FROM base\nCOPY message /api\n")
    commit(shop, "fix: quick", {})
    result = result_of(commands.run("release", shop, "--format", "json"))
    assert {each.partition(" ")[2] for each in states(result).values()} == {"0.1.0"}
    assert states(result)["base"] == "unchanged 0.1.0" and states(result)["app"] == "released 0.1.0"
