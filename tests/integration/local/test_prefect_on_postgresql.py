"""Prefect's record in a PostgreSQL of one's own."""

from __future__ import annotations

from pathlib import Path

import psutil

from prefect_slipway.infra.local.daemon import Daemon
from prefect_slipway.infra.local.prefect import prefect_spec
from tests.ports import free_port
from tests.postgresql import PASSWORD, postgresql_server


def test_prefect_records_in_postgresql_and_hides_its_password(tmp_path: Path) -> None:
    """The tables are there, and the password is in no argument, environment or log of the server."""
    with postgresql_server() as postgresql:
        server = Daemon(prefect_spec(tmp_path, free_port(), postgresql.url), tmp_path / "run", tmp_path / "log")
        try:
            server.start()
            process = server.process()
            assert process is not None
            seen = [*process.cmdline(), *process.environ().values(), server.log_file.read_text()]
            secrets = (PASSWORD, PASSWORD.replace(" ", "%20"))
            assert not any(secret in text for secret in secrets for text in seen)
        finally:
            server.stop()
        assert not (tmp_path / "prefect" / "prefect.db").exists()
        assert postgresql.query("select count(*) from flow_run") == "0"
    assert not [child for child in psutil.Process().children() if _is_prefect(child)]


def _is_prefect(process: psutil.Process) -> bool:
    try:
        return "prefect" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False
