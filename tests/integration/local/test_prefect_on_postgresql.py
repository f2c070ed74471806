"""Prefect's record in a PostgreSQL of one's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from prefect_slipway.infra.local.daemon import Daemon, DaemonSpec
from prefect_slipway.infra.local.prefect import prefect_spec
from tests.ports import free_port

PASSWORD = "correct horse"


def as_server_user(*command: str) -> tuple[str, ...]:
    """PostgreSQL refuses to be run by root."""
    if os.getuid() != 0:
        return command
    user = pwd.getpwnam("postgres")
    return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command)


def answers(port: int) -> bool:
    ready = subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False)
    return ready.returncode == 0


@pytest.fixture
def postgresql() -> Iterator[int]:
    """The port of a PostgreSQL server whose user `postgres` has the password above."""
    if shutil.which("initdb") is None or shutil.which("pg_isready") is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="sw", dir="/tmp"))
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    if os.getuid() == 0:
        for path in (folder, password_file):
            shutil.chown(path, "postgres")
    initialise = ("initdb", "--auth=scram-sha-256", "--username=postgres", f"--pwfile={password_file}")
    subprocess.run(
        as_server_user(*initialise, "--no-sync", "-D", str(folder / "data")), check=True, capture_output=True, cwd="/"
    )
    port = free_port()
    serve = ("postgres", "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder))
    spec = DaemonSpec("postgresql", as_server_user(*serve, "-F"), ready=lambda: answers(port))
    server = Daemon(spec, folder / "run", folder / "log")
    try:
        (folder / "run").mkdir()
        server.start()
        yield port
    finally:
        server.stop()
        shutil.rmtree(folder)


def test_prefect_records_in_postgresql_and_hides_its_password(postgresql: int, tmp_path: Path) -> None:
    """The tables are there, and the password is in no argument, environment or log of the server."""
    quoted = PASSWORD.replace(" ", "%20")
    address = f"postgresql://postgres:{quoted}@127.0.0.1:{postgresql}/postgres"
    server = Daemon(prefect_spec(tmp_path, free_port(), address), tmp_path / "run", tmp_path / "log")
    try:
        server.start()
        process = server.process()
        assert process is not None
        seen = [*process.cmdline(), *process.environ().values(), server.log_file.read_text()]
        assert not any(secret in text for secret in (PASSWORD, quoted) for text in seen)
    finally:
        server.stop()
    assert not (tmp_path / "prefect" / "prefect.db").exists()
    tables = subprocess.run(
        ["psql", "-h", "127.0.0.1", "-p", str(postgresql), "-U", "postgres", "-Atc", "select count(*) from flow_run"],
        env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD},
        check=True,
        capture_output=True,
        text=True,
    )
    assert tables.stdout == "0\n"
    assert not [child for child in psutil.Process().children() if _is_prefect(child)]


def _is_prefect(process: psutil.Process) -> bool:
    try:
        return "prefect" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False
