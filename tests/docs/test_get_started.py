"""The page "Get started" is one session of a newcomer: all its commands, in one shell, with the wheel of this tree."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import stack_home
from tests.docs.pages import GET_STARTED, blocks
from tests.installed import build_wheel, copy_tree

UV = Path(sys.executable).with_name("uv")


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Somebody with an empty home, uv and git; an index has this tree's wheel, and all else from the real one."""
    wheel = build_wheel(copy_tree(tmp_path / "tree"), tmp_path / "index")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "uv").symlink_to(UV)
    names = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    with stack_home() as made:
        yield {
            **{name: value for name, value in made.items() if not name.startswith(("VIRTUAL_ENV", "PYTHON"))},
            **dict.fromkeys(names, "newcomer@example.com"),
            "HOME": str(tmp_path),
            "PATH": f"{bin_folder}:{os.defpath}",
            "UV_FIND_LINKS": str(wheel.parent),
            "UV_PYTHON": sys.executable,
            "UV_TOOL_DIR": str(tmp_path / "tools"),
            "UV_TOOL_BIN_DIR": str(bin_folder),
        }


def test_a_newcomer_releases_their_own_repository(newcomer: dict[str, str], tmp_path: Path) -> None:
    """Installs, starts the stack, releases twice, and leaves nothing."""
    session = "set -e\n" + "\n".join(blocks(GET_STARTED, "sh"))
    done = subprocess.run(
        ["/bin/sh", "-c", session], cwd=tmp_path, env=newcomer, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello 0.1.0 released" in done.stdout
    assert "patch, because of a fix" in done.stdout
    assert "hello 0.1.1 released" in done.stdout
    assert "this commit is already released as 0.1.1" in done.stdout
    assert "changes since 0.1.0" in done.stdout
    assert not (tmp_path / "bin" / "slipway").exists()
    assert not Path(newcomer["SLIPWAY_HOME"]).exists()
