"""Debian's PostgreSQL for a test, as the installation's: its superuser and its database are called `prefect`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from prefect_slipway.infra.local.daemon import DaemonSpec
from tests.ports import free_port
from tests.servers import running

PASSWORD = "correct horse"


@dataclass(frozen=True)
class PostgreSQL:
    """A server that answers. `folder`: of its socket, which asks for no password, as in the installation's pod."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://prefect:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/prefect"

    @property
    def env(self) -> Mapping[str, str]:
        """Of the programs that are run beside it."""
        return {"PATH": os.environ["PATH"], "PGHOST": str(self.folder), "PGPORT": str(self.port)}

    def query(self, sql: str) -> str:
        """What it answers, a row a line."""
        asked = ("psql", "--username", "prefect", "--no-align", "--tuples-only", "--command", sql)
        return subprocess.run(asked, env=self.env, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """A new one, gone at the end. Skips the test where it is not installed."""
    if shutil.which("initdb") is None or shutil.which("pg_isready") is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="sw", dir="/tmp"))
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    if os.getuid() == 0:
        for path in (folder, password_file):
            shutil.chown(path, "postgres")
    made = PostgreSQL(folder, free_port())
    authentication = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password_file}")
    initialise = ("initdb", *authentication, "--username=prefect", "--no-sync", "-D", str(folder / "data"))
    serve = ("postgres", "-D", str(folder / "data"), "-p", str(made.port), "-h", "127.0.0.1", "-k", str(folder))
    spec = DaemonSpec("postgresql", _as_server_user(*serve, "-F"), ready=lambda: _answers(made))
    try:
        subprocess.run(_as_server_user(*initialise), check=True, capture_output=True, cwd="/")
        with running(spec, folder / "own"):
            subprocess.run(("createdb", "--username", "prefect", "prefect"), env=made.env, check=True)
            yield made
    finally:
        shutil.rmtree(folder)


def _as_server_user(*command: str) -> tuple[str, ...]:
    """PostgreSQL refuses to be run by root."""
    if os.getuid() != 0:
        return command
    user = pwd.getpwnam("postgres")
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command)


def _answers(server: PostgreSQL) -> bool:
    return subprocess.run(("pg_isready", "-q"), env=server.env, check=False).returncode == 0
