"""The wheel beside a repository that has `flows`, `blocks`, `infra`, `deployments` and `tests` of its own.

Its flow calls a release as a subflow; all ways in which people start such a flow are tried, each to its end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import RunningStack
from tests.git_repository import make_bare, make_repository
from tests.git_server import serve_git
from tests.installed import Installed
from tests.prefect_server import PrefectServer
from tests.releases import make_source
from tests.waiting import PATIENCE_S

POOL = "theirs"

NIGHTLY = '''
"""Their own flow, which uses a module of each of their own packages."""

import asyncio
import sys

from prefect import flow

from blocks.theirs import BLOCK
from deployments.theirs import DEPLOYMENT
from infra.theirs import INFRA
from prefect_slipway import ReleaseRequest, ReleaseResult, release


@flow(persist_result=True, result_serializer="json")
async def nightly(source: str) -> str:
    result: ReleaseResult = await release(ReleaseRequest(source=source))
    print(BLOCK, DEPLOYMENT, INFRA, result.reference)
    return result.summary


if __name__ == "__main__":
    print(asyncio.run(nightly(sys.argv[1])))
'''

TEST = """
import os

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.nightly import nightly
from prefect_slipway import errors


@pytest.fixture(scope="module", autouse=True)
def harness():
    with prefect_test_harness(server_startup_timeout=300):
        yield


async def test_it_releases():
    assert (await nightly(os.environ["SOURCE"])).endswith(" 0.1.0 released")


async def test_it_fails_with_a_cause():
    with pytest.raises(errors.SourceMissing, match="no-such-folder"):
        await nightly("/no-such-folder")
"""

PREFECT_YAML = f"""
deployments:
- name: by-file
  entrypoint: flows/nightly.py:nightly
  work_pool: {{name: {POOL}}}
- name: by-module
  entrypoint: flows.nightly.nightly
  work_pool: {{name: {POOL}}}
"""

FILES = {
    "run.py": "import asyncio, sys\nfrom flows.nightly import nightly\nprint(asyncio.run(nightly(sys.argv[1])))\n",
    "flows/__init__.py": "",
    "flows/nightly.py": NIGHTLY,
    "blocks/__init__.py": "",
    "blocks/theirs.py": "BLOCK = 'their blocks'\n",
    "deployments/__init__.py": "",
    "deployments/theirs.py": "DEPLOYMENT = 'their deployments'\n",
    "infra/__init__.py": "",
    "infra/theirs.py": "INFRA = 'their infra'\n",
    "tests/__init__.py": "",
    "tests/test_nightly.py": TEST,
    "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
    "prefect.yaml": PREFECT_YAML,
}

FROM_SOURCE = f"""
import sys
from prefect import flow
theirs = flow.from_source(source=sys.argv[1], entrypoint="flows/nightly.py:nightly")
theirs.deploy("from-source", work_pool_name="{POOL}", print_next_steps=False)
"""

# Both are true of the types that a checker sees; the last line is wrong.
CHECKED = """
from prefect_slipway import ReleaseRequest, ReleaseResult, errors, release

async def use() -> str:
    result: ReleaseResult = await release(ReleaseRequest(source="."))
    error: errors.SlipwayError = errors.SourceMissing("gone")
    return f"{result.summary}{error.cause}"

from prefect_slipway import relase
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Their repository."""
    return make_repository(tmp_path / "theirs", FILES)


@pytest.fixture
def env(stack: RunningStack, tmp_path: Path) -> dict[str, str]:
    """The session's stack, as the environment tells of it."""
    return {
        **stack.env,
        "PREFECT_API_URL": stack.connection.prefect_api_url,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path / f"app-{uuid.uuid4().hex[:8]}")


def run(folder: Path, env: dict[str, str], *command: str | Path) -> str:
    """What a command that has to succeed printed."""
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", [["run.py"], ["-m", "flows.nightly"]], ids=["python file.py", "python -m"])
def test_a_script_releases_in_a_flow_of_their_own(
    installed: Installed, theirs: Path, env: dict[str, str], source: Path, how: list[str]
) -> None:
    """Their packages are theirs, ours is ours."""
    said = run(theirs, env, installed.python, *how, str(source))
    image = f"127.0.0.1:{env['SLIPWAY_REGISTRY_PORT']}/{source.name}"
    assert f"their blocks their deployments their infra {image}:0.1.0@sha256:" in said
    assert said.rstrip().endswith(f"{source.name} 0.1.0 released")


def test_the_command_starts_there(installed: Installed, theirs: Path, env: dict[str, str]) -> None:
    """Also where their folders are on the path, as PYTHONPATH puts them there."""
    for path in ("", str(theirs)):
        there = {**env, "PYTHONPATH": path}
        assert run(theirs, there, installed.bin / "slipway", "--version").startswith("slipway ")
        assert "release an image" in run(theirs, there, installed.bin / "slipway", "--help")


@pytest.mark.timeout(900)
def test_their_tests_use_prefects_harness(
    installed: Installed, theirs: Path, env: dict[str, str], source: Path
) -> None:
    """A server for the tests alone records the release, and a failure is one of the public causes."""
    env = {name: value for name, value in env.items() if name != "PREFECT_API_URL"} | {"SOURCE": str(source)}
    assert "2 passed" in run(theirs, env, installed.python, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.fixture
def worker(installed: Installed, env: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """Prefect's own process worker in an empty folder; its log."""
    folder = tmp_path / "worker"
    folder.mkdir()
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [installed.bin / "prefect", "worker", "start", "--pool", POOL, "--type", "process"],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    server = PrefectServer(env["PREFECT_API_URL"])
    try:
        server.until(lambda: _there(server, f"/work_pools/{POOL}"))
        yield log
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _there(server: PrefectServer, path: str) -> bool:
    try:
        server.ask("GET", path)
    except httpx.HTTPStatusError:
        return False
    return True


@pytest.mark.timeout(1800)
def test_a_worker_runs_their_deployments(
    installed: Installed, theirs: Path, env: dict[str, str], worker: Path, tmp_path: Path
) -> None:
    """`prefect deploy` by file and by module, and `flow.from_source` of their git repository."""
    server = PrefectServer(env["PREFECT_API_URL"])
    (tmp_path / "served").mkdir()
    make_bare(tmp_path / "served" / "theirs.git", theirs)
    run(theirs, env, installed.bin / "prefect", "--no-prompt", "deploy", "--all")
    with serve_git(tmp_path / "served") as git:
        run(tmp_path, env, installed.python, "-c", FROM_SOURCE, git.url("theirs.git"))
        runs = {}
        for name in ("by-file", "by-module", "from-source"):
            source = make_source(tmp_path / f"app-{uuid.uuid4().hex[:8]}")
            found = server.ask("GET", f"/deployments/name/nightly/{name}")
            body = {"parameters": {"source": str(source)}, "state": {"type": "SCHEDULED"}}
            runs[name] = server.ask("POST", f"/deployments/{found['id']}/create_flow_run", body)["id"]
        for name, made in runs.items():
            ended = server.end(made, 600.0)
            assert ended["type"] == "COMPLETED", (name, ended["message"], worker.read_text()[-3000:])


def test_prefect_registers_the_blocks(installed: Installed, theirs: Path, env: dict[str, str]) -> None:
    """As docs/guides/credentials.md says it: with logo, documentation and example, which the UI shows."""
    server = PrefectServer(env["PREFECT_API_URL"])
    known = server.ask("GET", "/block_types/slug/slipway-source")
    server.ask("DELETE", f"/block_types/{known['id']}")
    said = run(theirs, env, installed.bin / "prefect", "block", "register", "-m", "prefect_slipway")
    assert "Successfully registered 8 blocks" in said
    types = {each["slug"]: each for each in server.ask("POST", "/block_types/filter", {})}
    for slug in (
        "builder",
        "kubernetes-builder",
        "registry",
        "source",
        "vault",
        "policy",
        "gate-file",
        "source-policy",
    ):
        registered = types[f"slipway-{slug}"]
        assert registered["logo_url"]
        assert registered["documentation_url"]
        assert "from prefect_slipway import" in registered["code_example"]


def test_type_checkers_know_the_interface(installed: Installed, theirs: Path) -> None:
    """What a name is, what a flow returns, and which name does not exist."""
    (theirs / "checked.py").write_text(CHECKED)
    # Thousands of modules that nothing of the interface shows, and most of a checker's time.
    (theirs / "mypy.ini").write_text("[mypy]\n[mypy-kubernetes.*]\nfollow_imports = skip\n")
    mypy = [sys.executable, "-m", "mypy", "--python-executable", str(installed.python), "--strict", "checked.py"]
    answer = subprocess.run(mypy, cwd=theirs, env={**os.environ}, capture_output=True, text=True, timeout=600)
    assert answer.stdout.splitlines() == [
        'checked.py:9: error: Module "prefect_slipway" has no attribute "relase"; maybe "release"?  [attr-defined]',
        "Found 1 error in 1 file (checked 1 source file)",
    ]
