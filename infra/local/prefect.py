"""The Prefect server: API, UI and background services in one process, started from this environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prefect_slipway.infra.common.private_files import private_folder, write_private
from prefect_slipway.infra.local.daemon import DaemonSpec
from prefect_slipway.infra.local.probe import http_status

_PROFILE = "slipway"


def prefect_spec(home: Path, port: int, database: str | None) -> DaemonSpec:
    """How to run the server on 127.0.0.1:`port`; writes its settings (0600), which alone hold `database`.

    `database`: PostgreSQL URL, None for SQLite below `home`/prefect.

    Prefect reads settings from the environment, then `.env`, `prefect.toml` and `pyproject.toml` of its
    working directory, then the active profile of `$PREFECT_HOME/profiles.toml` (prefect/settings/sources.py):
    so it works in its own folder, and the profile holds what need not be in the environment.
    """
    folder = private_folder(home / "prefect")
    settings = {
        # The UI would call the default port, whatever port it is served from.
        "PREFECT_UI_API_URL": api_url(port),
        # The pages that automations' messages lead to (`{{ flow_run|ui_url }}`); None stands there without it.
        "PREFECT_UI_URL": ui_url(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Seconds until a run that waits for another of its application looks again; 30 would be wasted on a machine.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
    }
    if database is not None:
        settings["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = _with_async_driver(database)
    # A JSON string is a TOML basic string.
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
    profile = f'active = "{_PROFILE}"\n\n[profiles.{_PROFILE}]\n{"".join(lines)}'
    write_private(folder / "profiles.toml", profile)
    return DaemonSpec(
        name="prefect",
        argv=(
            *(sys.executable, "-m", "prefect", "server", "start"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ),
        env={"PREFECT_HOME": str(folder), "DO_NOT_TRACK": "1"},
        directory=folder,
        ready=lambda: http_status(port, "/api/health") == 200,
        # The first start creates the database: 9 s on two idle cores, far more on a busy machine.
        start_timeout_s=180.0,
    )


def api_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/api"


def ui_url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _with_async_driver(database: str) -> str:
    """Prefect reaches PostgreSQL through asyncpg only, and wants that said in the URL."""
    return f"postgresql+asyncpg://{database.partition('://')[2]}"
