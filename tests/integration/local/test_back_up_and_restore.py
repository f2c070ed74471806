"""The commands of the guide to production that back a server up, restore it, upgrade it and go back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.local.prefect import api_url, prefect_spec
from tests.conftest import RunningStack, run_program, run_slipway
from tests.docs.pages import GUIDES, lines
from tests.ports import free_port
from tests.postgresql import PostgreSQL, postgresql_server
from tests.prefect_server import PrefectServer
from tests.releases import make_source
from tests.servers import running

(PAGE,) = (page for page in GUIDES if page.name == "production.md")
TYPED = [line for line in lines(PAGE, "shell") if line.startswith("kubectl -n slipway ")]
IN_THE_POD = [line.partition(" -- ")[2].strip() for line in TYPED if " exec " in line]
# The newest of Prefect's migrations that adds a table, and the one before it.
NEWER_TABLE, OLDER_SCHEMA = "automation_held_event", "d4a7e1c93f52"


def in_the_pod(postgresql: PostgreSQL, command: str, folder: Path) -> None:
    """What the page has `kubectl exec` run beside PostgreSQL; files are in the reader's folder."""
    subprocess.run(["/bin/sh", "-c", command], cwd=folder, env=postgresql.env, check=True)


@dataclass(frozen=True)
class Served:
    """A Prefect server of an installation, with the environment of commands against it."""

    env: dict[str, str]
    api: PrefectServer

    def slipway(self, *arguments: str | Path) -> str:
        done = run_slipway(*arguments, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def record(self, image: str) -> dict[str, Any]:
        """What people would miss: history, runs and their logs, deployments with their schedules, automations."""
        deployments = self.api.ask("POST", "/deployments/filter", {"sort": "NAME_ASC"})
        ended = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
        return {
            "history": self.slipway("history", image, "--format", "json"),
            "runs": sorted(run["name"] for run in self.api.ask("POST", "/flow_runs/filter", ended)),
            "logs": len(self.api.ask("POST", "/logs/filter", {})),
            "deployments": [(each["id"], each["name"], each["schedules"]) for each in deployments],
            "pools": sorted(pool["name"] for pool in self.api.ask("POST", "/work_pools/filter", {})),
            "automations": sorted(each["name"] for each in self.api.ask("POST", "/automations/filter", {})),
            "reports": sorted(each["id"] for each in self.api.ask("POST", "/artifacts/filter", {})),
        }


@contextmanager
def prefect_on(postgresql: PostgreSQL, stack: RunningStack, home: Path) -> Iterator[Served]:
    port = free_port()
    with running(prefect_spec(home, port, postgresql.url), home):
        yield Served({**stack.env, "PREFECT_API_URL": api_url(port)}, PrefectServer(api_url(port)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup")


@pytest.fixture(scope="module")
def kept(stack: RunningStack, folder: Path) -> dict[str, Any]:
    """The record of a server on which a release was made, then backed up and lost: `folder`/prefect.dump is left."""
    with postgresql_server() as postgresql, prefect_on(postgresql, stack, folder / "lost") as served:
        served.slipway("release", make_source(folder / "kept"))
        served.slipway("deploy-flows", "--pool", "slipway")
        record = served.record("kept")
        in_the_pod(postgresql, IN_THE_POD[0], folder)
        return record


def test_the_page_shows_what_is_tested() -> None:
    """Back up; stop the server, restore, start it."""
    assert [command.split()[0] for command in IN_THE_POD] == ["pg_dump", "pg_restore"]
    assert [line.rpartition(" ")[2] for line in TYPED if " scale " in line] == ["0", "1"]


def test_a_new_server_has_everything(stack: RunningStack, kept: dict[str, Any], folder: Path) -> None:
    """The record is the same, and the next release goes on where the last one ended."""
    assert '"version": "0.1.0"' in kept["history"]
    assert kept["deployments"] and kept["automations"] and kept["pools"] and kept["reports"] and kept["logs"]
    with postgresql_server() as postgresql:
        in_the_pod(postgresql, IN_THE_POD[1], folder)
        with prefect_on(postgresql, stack, folder / "new") as served:
            assert served.record("kept") == kept
            (folder / "kept" / "more").write_text("changed")
            assert "kept:0.1.1" in served.slipway("release", folder / "kept", "--bump", "patch")


def test_an_upgrade_keeps_everything_and_can_be_undone(
    stack: RunningStack, kept: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    """A server migrates the schema of an older one when it starts. The backup made before is that schema again, without
    a trace of the newer one, which would stop the next upgrade."""
    tables = f"select count(*) from information_schema.tables where table_name = '{NEWER_TABLE}'"
    with postgresql_server() as postgresql:
        in_the_pod(postgresql, IN_THE_POD[1], folder)
        older(postgresql, tmp_path)
        assert postgresql.query(tables) == "0"
        in_the_pod(postgresql, IN_THE_POD[0], tmp_path)
        for again in ("upgraded", "upgraded once more"):
            with prefect_on(postgresql, stack, tmp_path / again) as served:
                assert served.record("kept") == kept
                assert "unchanged" in served.slipway("deploy-flows", "--pool", "slipway")
            assert postgresql.query(tables) == "1"
            in_the_pod(postgresql, IN_THE_POD[1], tmp_path)
            assert postgresql.query("select version_num from alembic_version") == OLDER_SCHEMA
            assert postgresql.query(tables) == "0"


def older(postgresql: PostgreSQL, home: Path) -> None:
    """Give the database the schema that Prefect had before, by Prefect's own migrations."""
    url = postgresql.url.replace("postgresql://", "postgresql+asyncpg://")
    env = {**postgresql.env, "PREFECT_HOME": str(home), "PREFECT_SERVER_DATABASE_CONNECTION_URL": url}
    downgrade = (
        sys.executable,
        "-m",
        "prefect",
        "server",
        "database",
        "downgrade",
        "--yes",
        "--revision",
        OLDER_SCHEMA,
    )
    done = run_program(*downgrade, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
