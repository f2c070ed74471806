"""Which runs use the stack: noted by living processes, and by no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import StackInUse
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import STATE_FILE
from prefect_slipway.infra.local.stack import Stack
from prefect_slipway.infra.local.uses import FOLDER, in_use, uses

_ANOTHER = """
import os, signal
from prefect_slipway.infra.local.uses import in_use
with in_use(os.environ, "release größe"):
    print("noted", flush=True)
    signal.pause()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / STATE_FILE).touch()
    return tmp_path


def test_a_run_is_noted_while_its_process_lives(home: Path) -> None:
    env = {"SLIPWAY_HOME": str(home), "PYTHONUTF8": "1"}
    with subprocess.Popen([sys.executable, "-c", _ANOTHER], env=env, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"noted\n"
        with in_use(env, "deploy app"):
            assert len(uses(home)) == 2
            assert uses(home)[1] == f"release größe (process {other.pid})"
            with pytest.raises(StackInUse, match=r"deploy app \(process \d+\), release größe"):
                Stack(StackConfig(home)).down()
        other.kill()
    assert uses(home) == []
    assert list((home / FOLDER).iterdir()) == []


def test_a_run_without_a_stack_leaves_nothing(tmp_path: Path) -> None:
    with in_use({"SLIPWAY_HOME": str(tmp_path)}, "release app"):
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_stops_no_run(home: Path) -> None:
    (home / FOLDER).touch()
    with in_use({"SLIPWAY_HOME": str(home)}, "release app"):
        assert uses(home) == []


def test_a_name_and_a_note_may_be_no_text(home: Path) -> None:
    with in_use({"SLIPWAY_HOME": str(home)}, "release \udcff"):
        (home / FOLDER / "a folder").mkdir()
        (home / FOLDER / "odd").write_bytes(b"\xff")
        (use,) = uses(home)
    assert use.startswith("release ? (process ")


def test_force_stops_it_anyway(home: Path) -> None:
    with in_use({"SLIPWAY_HOME": str(home)}, "release app"):
        assert Stack(StackConfig(home)).down(force=True) == []
