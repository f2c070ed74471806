"""`infra/local/bootstrap.sh` on machines that lack something, made of a PATH with few programs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "infra" / "local" / "bootstrap.sh"

# What the script itself is made of.
TOOLS = ("sh", "id", "ldd", "grep", "cmp", "cp", "mktemp", "rm", "tail", "env", "bash", "cat", "sed")

Bootstrap = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def bootstrap(tmp_path: Path) -> Bootstrap:
    """Runs the script with the tools, the named further programs, and fakes given by their shell code."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def run(command: str, *programs: str, **fakes: str) -> subprocess.CompletedProcess[str]:
        for name in (*TOOLS, *programs):
            found = shutil.which(name)
            assert found, name
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(found)
        for name, code in fakes.items():
            fake = folder / name.replace("_", "-")
            fake.unlink(missing_ok=True)
            fake.write_text(f"#!/bin/sh\n{code}\n")
            fake.chmod(0o755)
        # The script looks into the administrator's folders as well; here they are part of the fake.
        script = tmp_path / "bootstrap.sh"
        script.write_text(SCRIPT.read_text().replace(":/usr/sbin:/sbin", ""))
        return subprocess.run(
            ["/bin/sh", str(script), command],
            env={"PATH": str(folder), "PYTHON": sys.executable},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_an_ordinary_user_is_told_the_exact_command(bootstrap: Bootstrap) -> None:
    """Without root and sudo nothing is tried: the command to be typed is printed, exit code 1."""
    answer = bootstrap("packages", "git", id="echo 1000", dockerd="", apt_get="exit 99", newuidmap="")
    assert answer.returncode == 1
    assert "    sudo apt-get install --no-install-recommends docker-registry rootlesskit\n" in answer.stderr


def test_without_apt_the_missing_programs_are_named(bootstrap: Bootstrap) -> None:
    """Another distribution's user installs them with its own package manager."""
    answer = bootstrap("packages", "git", id="echo 0", dockerd="")
    assert answer.returncode == 1
    assert "docker-registry" in answer.stderr
    assert "docker.io" not in answer.stderr


def test_root_gets_the_missing_ones_installed_quietly(bootstrap: Bootstrap, tmp_path: Path) -> None:
    """One update, one install without recommended packages, and nothing of apt's chatter."""
    note = tmp_path / "apt"
    answer = bootstrap(
        "packages", id="echo 0", docker_registry="", apt_get=f'echo "$DEBIAN_FRONTEND $*" >> {note}; echo chatter'
    )
    assert answer.returncode == 0
    assert note.read_text().splitlines() == [
        " update -qq",
        "noninteractive install -qq -y --no-install-recommends git docker.io",
    ]
    assert answer.stderr == "slipway: installing git docker.io docker-cli\n"
    assert answer.stdout == ""


def test_the_docker_command_comes_along(bootstrap: Bootstrap, tmp_path: Path) -> None:
    """Where it is a package of its own: a release's report ends with `docker pull`."""
    note = tmp_path / "apt"
    fakes = {"docker_registry": "", "apt_get": f'echo "$*" >> {note}', "apt_cache": '[ "$*" = "show docker-cli" ]'}
    assert bootstrap("packages", "git", id="echo 0", **fakes).returncode == 0
    assert note.read_text().splitlines()[-1].endswith("--no-install-recommends docker.io docker-cli")
    again = tmp_path / "again"
    fakes["apt_get"] = f'echo "$*" >> {again}'
    assert bootstrap("packages", id="echo 0", docker="exit 1", **fakes).returncode == 0
    assert again.read_text().splitlines()[-1].endswith("--no-install-recommends docker.io")


def test_apts_failure_shows_its_words(bootstrap: Bootstrap) -> None:
    """What apt said last is what tells a wrong mirror from a full disk."""
    answer = bootstrap("packages", "git", id="echo 0", dockerd="", apt_get="echo E: no space left; exit 100")
    assert answer.returncode == 1
    assert "E: no space left" in answer.stderr


def test_with_everything_there_it_is_silent(bootstrap: Bootstrap) -> None:
    """`make release` calls it each time the lock changed."""
    answer = bootstrap("packages", "git", id="echo 0", dockerd="", docker_registry="", apt_get="exit 99")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_a_python_that_is_too_old_is_said(bootstrap: Bootstrap, tmp_path: Path) -> None:
    """And how to name another one."""
    old = tmp_path / "bin" / "python3"
    old.write_text('#!/bin/sh\ncase "$*" in *version_info*) exit 1;; esac\n')
    old.chmod(0o755)
    script = subprocess.run(
        ["/bin/sh", str(SCRIPT), "packages"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert script.returncode == 1
    assert "is not Python 3.11 or newer" in script.stderr
    assert "PYTHON=" in script.stderr


@pytest.mark.parametrize("copy", [None, "something else"])
def test_the_samples_program_is_copied_when_missing_or_different(
    bootstrap: Bootstrap, tmp_path: Path, copy: str | None
) -> None:
    """The sample image is made of this machine's static busybox."""
    sample = tmp_path / "deployments" / "samples" / "simple" / "busybox"
    sample.parent.mkdir(parents=True)
    if copy is not None:
        sample.write_text(copy)
    assert bootstrap("sample").returncode == 0
    assert sample.read_bytes() == Path("/bin/busybox").read_bytes()
