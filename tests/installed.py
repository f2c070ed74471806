"""Slipway as its users have it: the wheel, installed in an environment of its own, far from the repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What the wheel is built of.
_BUILT_OF = ("flows", "blocks", "infra", "deployments", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Installed:
    """`bin`: the folder with `python`, `prefect` and `slipway`."""

    bin: Path

    @property
    def python(self) -> Path:
        return self.bin / "python"


def install(folder: Path) -> Installed:
    """Build the wheel and install it below `folder`. What it depends on is this environment's."""
    tree, wheels, home = folder / "tree", folder / "wheels", folder / "venv"
    # A copy, as setuptools leaves its folders beside what it builds.
    tree.mkdir()
    for name in _BUILT_OF:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "busybox"))
        else:
            shutil.copy2(source, tree / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(tree)])
    venv.create(home, with_pip=False, symlinks=True)
    made = Installed(home / "bin")
    (wheel,) = wheels.iterdir()
    _run([*pip, "--python", str(made.python), "install", "--no-deps", "--no-index", str(wheel)])
    # After the wheel, so that this environment's own Slipway is not taken for an installed one. A path that a .pth file
    # adds is not looked through for further .pth files: the repository is not on it.
    (site,) = home.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (made.bin / "prefect").write_text(f"#!{made.python}\nfrom prefect.cli import app\napp()\n")
    (made.bin / "prefect").chmod(0o755)
    return made


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
