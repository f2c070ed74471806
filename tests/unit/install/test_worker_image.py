"""What the worker's image is made of, read without a build."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
WORKER = ROOT / "deployments" / "worker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: Path) -> dict[str, set[str]]:
    """Each package's version and hashes."""
    found: dict[str, set[str]] = {}
    for entry in re.split(r"\n(?=\S)", lock.read_text()):
        name, _, rest = entry.partition("==")
        pin = found.setdefault(name.partition("[")[0].strip(), set())
        pin.update([rest.split()[0], *re.findall(r"sha256:\w+", rest)])
    return found


def names(requirements: list[str]) -> set[str]:
    return {match[0] for one in requirements if (match := re.match(r"[\w-]+", one))}


def test_its_lock_is_a_part_of_the_projects() -> None:
    """The same versions and hashes, which `make lock` sees to."""
    whole = pins(ROOT / "requirements.lock")
    for name, pin in pins(WORKER / "requirements.lock").items():
        assert pin <= whole[name], f"{name}: run `make lock`"


def test_what_is_needed_with_extras_is_locked_with_them() -> None:
    """Otherwise pip (23.2) refuses the lock once there is a newer release of it."""
    locked = (ROOT / "requirements.lock").read_text()
    assert re.search(r"^coverage\[toml\]==", locked, re.MULTILINE)
    assert re.search(r"^sqlalchemy\[asyncio\]==", locked, re.MULTILINE)


def test_its_lock_has_what_slipway_needs_there_and_nothing_for_development() -> None:
    """The dependencies, the extras `worker` and `telemetry`; without the embedded stack's."""
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["worker"], *extras["telemetry"]]
    locked = pins(WORKER / "requirements.lock").keys()
    assert names(wanted) <= locked
    assert not (names(extras["local"]) | {"pytest", "mypy", "playwright"}) & locked


def test_no_index_is_named() -> None:
    """Neither in the lock nor in the Dockerfile: whoever builds has one of their own."""
    for path in (WORKER / "requirements.lock", WORKER / "Dockerfile"):
        assert not re.search(r"https?://|--index-url|--trusted-host", path.read_text()), path.name


def test_its_context_has_the_packages_and_little_else() -> None:
    """All is left out but what is named, and every package that is installed is named."""
    lines = [line for line in (WORKER / "Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    named = {line[1:] for line in lines if line.startswith("!")}
    packages = {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    packages |= {path.name for package in packages for path in (ROOT / package).iterdir() if path.is_symlink()}
    assert named == packages | {"pyproject.toml", "setup.py", "README.md", *PROJECT["project"]["license-files"]}


def test_it_runs_as_nobody_in_particular() -> None:
    """By number, so that Kubernetes can see that it is not root; from a base that can be chosen."""
    dockerfile = (WORKER / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert stages[0] == stages[-1] == "${BASE}"
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["10001:10001"]
