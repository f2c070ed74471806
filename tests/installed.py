"""Slipway as its users have it: the wheel, installed in an environment of its own, far from the repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What is built of them.
_BUILT_OF = (
    "prefect_slipway",
    "flows",
    "blocks",
    "infra",
    "deployments",
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
)
_PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
_SDIST = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"


@dataclass(frozen=True)
class Installed:
    """`bin`: the folder with `python`, `prefect` and `slipway`."""

    bin: Path

    @property
    def python(self) -> Path:
        return self.bin / "python"


def copy_tree(folder: Path) -> Path:
    """What a distribution is built of, copied into `folder`, as setuptools leaves its own folders beside it."""
    folder.mkdir()
    for name in _BUILT_OF:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "busybox")
            shutil.copytree(source, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)
    return folder


def build_wheel(source: Path, folder: Path) -> Path:
    """The wheel of a tree or an sdist, made in `folder`."""
    _run([*_PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)])
    (wheel,) = folder.iterdir()
    return wheel


def build_sdist(tree: Path, folder: Path) -> Path:
    """The source distribution of a tree, made in `folder`."""
    folder.mkdir()
    _run([sys.executable, "-c", _SDIST, str(folder)], cwd=tree)
    (sdist,) = folder.iterdir()
    return sdist


def install(wheel: Path, folder: Path, *, without: Collection[str] = ()) -> Installed:
    """Install the wheel into the environment `folder`. What it depends on is this environment's, but for the
    distributions in `without`.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    made = Installed(folder / "bin")
    _run([*_PIP, "--python", str(made.python), "install", "--no-deps", "--no-index", str(wheel)])
    # After the wheel, so that this environment's own Slipway is not taken for an installed one. A path that a .pth file
    # adds is not looked through for further .pth files: the repository is not on it.
    (site,) = folder.glob("lib/python3*/site-packages")
    left_out = {file.parts[0] for name in (*without, "prefect-slipway") for file in distribution(name).files or ()}
    dependencies = folder / "dependencies"
    dependencies.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name not in left_out:
            (dependencies / entry.name).symlink_to(entry)
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    (made.bin / "prefect").write_text(f"#!{made.python}\nfrom prefect.cli import app\napp()\n")
    (made.bin / "prefect").chmod(0o755)
    return made


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
