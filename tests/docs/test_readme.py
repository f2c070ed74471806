"""Every command that the README shows in a `sh` block is run, in its order, from the project's own folder."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import stack_home

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line and not line.startswith("#")
]


@pytest.fixture(scope="module")
def env() -> Iterator[Mapping[str, str]]:
    """An empty home: the reader has nothing yet."""
    with stack_home() as made:
        yield made


def test_there_are_commands_to_run() -> None:
    """The pattern above finds what it is meant to find."""
    assert "make release" in COMMANDS
    assert COMMANDS[-1] == "make clean"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_works(command: str, env: Mapping[str, str]) -> None:
    """It ends with 0 when it is typed as it stands there, after those before it."""
    # Nothing of a `make test ARGS=…` that this may run under reaches the reader's own make.
    reader = {name: value for name, value in env.items() if not name.startswith("MAKE") and name != "ARGS"}
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, env=reader, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if command == "make release":
        assert ":0.1.0@sha256:" in done.stdout
        assert "/flow-runs/flow-run/" in done.stdout


def test_files_and_pictures_that_are_linked_exist() -> None:
    """No link of the README leads nowhere."""
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)", README):
        assert (ROOT / target).exists(), target
