"""A Prefect database that is migrated already: the migrations are most of the work of a server's first start."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from prefect_slipway.infra.common.private_files import private_folder


def migrated_database(folder: Path) -> Path:
    """An empty one, as this version of Prefect makes it; kept in `folder` for other processes and later runs."""
    database = folder / f"{version('prefect')}.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            with tempfile.TemporaryDirectory(dir=folder) as home:
                _migrate(Path(home))
                (Path(home) / "prefect.db").replace(database)
    return database


def _migrate(home: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    subprocess.run(command, env={**kept, "PREFECT_HOME": str(home)}, cwd=home, check=True, capture_output=True)


def use_database(database: Path, env: Mapping[str, str]) -> None:
    """Put it into the empty home of `env`, before its first `slipway up`."""
    home = private_folder(Path(env["SLIPWAY_HOME"]))
    shutil.copy(database, private_folder(home / "prefect") / "prefect.db")
