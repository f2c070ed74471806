"""What commands import, and what they ask of Prefect: time is noise, but what nobody needs costs the same each time."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import RunningStack, run_slipway
from tests.contract.buildkit.relay import Relay
from tests.integration.relay.conftest import make_deployment
from tests.releases import make_source

HEAVY = {"prefect", "pydantic", "httpx", "hvac", "kubernetes", "rich", "fastapi"}


def loaded_by(stack: RunningStack, *arguments: str) -> set[str]:
    """Which of HEAVY a command has imported when it has succeeded."""
    code = (
        "import sys; from prefect_slipway.flows.cli import main; code = main(sys.argv[1:]); "
        f"print(); print(code, *sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=stack.env, capture_output=True, text=True, check=False
    )
    status, *names = done.stdout.splitlines()[-1].split()
    assert status == "0", done.stdout + done.stderr
    return set(names)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = make_source(tmp_path / "started")
    (folder / "docker-bake.json").write_text(json.dumps({"target": {"default": {"tags": ["registry.example/a:1"]}}}))
    return folder


def test_a_build_imports_none(stack: RunningStack, source: Path) -> None:
    """Where no registry is asked."""
    assert loaded_by(stack, "build", str(source), "-q") == set()


def test_a_bake_files_definition_imports_none(stack: RunningStack, source: Path) -> None:
    """It asks nobody; a release file, or an option of a release, is a request's."""
    assert loaded_by(stack, "bake", "--source", str(source), "--print") == set()
    assert loaded_by(stack, "bake", "--source", str(source), "--print", "--bump", "patch") == {"pydantic"}


def test_a_plan_takes_what_it_asks_with(stack: RunningStack, source: Path) -> None:
    """Vault and the registry are asked, Prefect is not."""
    assert loaded_by(stack, "plan", str(source)) == {"pydantic", "httpx", "hvac"}


def test_a_release_takes_prefect_without_its_server(stack: RunningStack, source: Path) -> None:
    """rich comes with Prefect."""
    assert loaded_by(stack, "release", str(source), "-q") == {"prefect", "pydantic", "httpx", "hvac", "rich"}


def test_a_run_is_started_without_prefect(stack: RunningStack) -> None:
    """With a request of Slipway's, which is read before."""
    api, name = stack.connection.prefect_api_url, "started-up"
    make_deployment(api, name, "ours", entrypoint="prefect_slipway.flows.release.release", parameter_openapi_schema={})
    request = ("--param", "request.source=https://example.com/app.git", "--param", "request.bump=patch")
    assert loaded_by(stack, "trigger", f"{name}/ours", *request) == {"pydantic", "httpx"}


def test_an_event_is_emitted_without_prefect(stack: RunningStack) -> None:
    assert loaded_by(stack, "trigger", "--event", "started-up", "--param", "a=b") == {"pydantic", "httpx"}


async def asked_by(stack: RunningStack, *arguments: str | Path) -> Counter[str]:
    """The requests that a command makes to Prefect's server until it succeeds, with ID for each id."""
    api = urlsplit(stack.connection.prefect_api_url)
    async with Relay(lambda: asyncio.open_connection(api.hostname, api.port), keep=True) as relay:
        env = {**stack.env, "PREFECT_API_URL": f"http://127.0.0.1:{relay.port}/api"}
        ended = await asyncio.to_thread(run_slipway, *arguments, env=env)
    assert ended.returncode == 0, ended.stderr
    # A body ends without a line break.
    lines = re.findall(rb"(GET|POST|PUT|PATCH|DELETE) /api(/\S*) HTTP/1\.1\r\n", b" ".join(map(bytes, relay.said)))
    return Counter(f"{method.decode()} {re.sub(r'[0-9a-f-]{36}', 'ID', path.decode())}" for method, path in lines)


async def test_a_release_asks_prefect_for_little(stack: RunningStack, source: Path) -> None:
    """What Prefect's engine asks for is Prefect's; of ours there are a name, an event and four artifacts: the plan, the
    report, the link to the history and the history, which is read before and after."""
    asked = await asked_by(stack, "release", source)
    # A build that takes more than a second shows its progress, in one artifact more.
    asked.pop("PATCH /artifacts/ID", None)
    asked["POST /artifacts/"] -= asked["POST /artifacts/"] == 5
    engine = {"POST /flows/": 1, "POST /flow_runs/": 1, "POST /flow_runs/ID/set_state": 2, "PATCH /flow_runs/ID": 1}
    ours = {"PATCH /flow_runs/ID": 1, "POST /events": 1, "POST /artifacts/": 4, "POST /artifacts/filter": 2}
    for path, times in (Counter(engine) + Counter(ours)).items():
        assert asked[path] == times, asked
    assert sum(asked.values()) - asked["POST /logs/"] <= 26, asked


async def test_the_images_of_a_set_are_announced_together(stack: RunningStack, source: Path) -> None:
    registry = stack.connection.registry
    targets = {name: {"tags": [f"{registry}/started-up/{name}:1"]} for name in ("one", "two", "three")}
    (source / "docker-bake.json").write_text(
        json.dumps({"group": {"default": {"targets": [*targets]}}, "target": targets})
    )
    asked = await asked_by(stack, "bake", "--source", source)
    assert asked["POST /events"] == 1, asked
