"""What commands import before they can begin: time is noise, but what nobody needs costs the same each time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RunningStack
from tests.integration.relay.conftest import make_deployment
from tests.releases import make_source

HEAVY = {"prefect", "pydantic", "httpx", "hvac", "kubernetes", "rich", "cryptography"}


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


def test_a_bake_files_definition_takes_the_models_alone(stack: RunningStack, source: Path) -> None:
    """It asks nobody."""
    assert loaded_by(stack, "bake", "--source", str(source), "--print") == {"pydantic"}


def test_a_plan_takes_what_it_asks_with(stack: RunningStack, source: Path) -> None:
    """Vault and the registry are asked, Prefect is not."""
    assert loaded_by(stack, "plan", str(source)) == {"pydantic", "httpx", "hvac"}


def test_a_run_is_started_without_prefect(stack: RunningStack) -> None:
    """With a request of Slipway's, which is read before."""
    api, name = stack.connection.prefect_api_url, "started-up"
    make_deployment(api, name, "ours", entrypoint="prefect_slipway.flows.release.release", parameter_openapi_schema={})
    request = ("--param", "request.source=https://example.com/app.git", "--param", "request.bump=patch")
    assert loaded_by(stack, "trigger", f"{name}/ours", *request) == {"pydantic", "httpx"}


def test_an_event_is_emitted_without_prefect(stack: RunningStack) -> None:
    assert loaded_by(stack, "trigger", "--event", "started-up", "--param", "a=b") == {"pydantic", "httpx"}
