"""What a release of Slipway itself hands out: wheel and sdist."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import clean_environment, run_program
from tests.git_repository import git
from tests.installed import ROOT


def tree(folder: Path) -> Path:
    """The files that git knows, as they are here: what `git archive` gives of a tag."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name and os.path.lexists(ROOT / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def test_wheel_and_sdist_hold_the_whole_package(tmp_path: Path) -> None:
    """Every module and the data files of the folders that it is made of, and nothing else of the repository."""
    source = tree(tmp_path / "tree")
    command = ("make", "dist", f"TREE={source}", f"DIST={tmp_path / 'dist'}")
    done = run_program(*command, cwd=ROOT, env=clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in packed} == {"prefect_slipway"}
    modules = {
        f"prefect_slipway/{path.relative_to(source)}"
        for folder in ("flows", "blocks", "infra")
        for path in (source / folder).rglob("*.py")
    }
    assert modules <= packed
    assert {"prefect_slipway/deployments/prefect.yaml", "prefect_slipway/infra/kubernetes/role.yaml"} <= packed
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert packed <= names
    assert not [name for name in names if name.startswith(("tests", "flows", "infra"))]


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("v9.9.9", "the tag is v9.9.9, but pyproject.toml has version"),
        ("", "no tag v* names this commit"),
    ],
)
def test_a_release_whose_tag_is_another_version_is_refused(tmp_path: Path, tag: str, said: str) -> None:
    """Before anything is set up, built or pushed, with the cause and what to do."""
    source = tree(tmp_path / "tree")
    git(source, "init", "-q")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "all")
    done = run_program(source / ".ci" / "release", env=clean_environment(**({"TAG": tag} if tag else {})))
    assert done.returncode == 1
    assert said in done.stderr
    assert "\nNext: " in done.stderr
    assert not (source / ".venv").exists()
