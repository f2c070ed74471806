"""Every command in a `sh` block of README and docs/ is run, in its order, from the project's own folder; those of "Get
started" by test_get_started.py.

Commands in `shell` blocks need servers of the reader's own: tests/unit/test_documentation.py checks what they name.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import stack_home
from tests.docs.pages import DOCS, GET_STARTED, GUIDES, README, ROOT, lines

FIRST = "make release"


def typed(page: Path) -> list[str]:
    """The page's commands, each after the `export`s before it: a reader has one shell, the test one for each."""
    exports: list[str] = []
    commands = []
    for line in lines(page, "sh"):
        commands.append("\n".join([*exports, line]))
        if line.startswith("export "):
            exports.append(line)
    return commands


IN_README = typed(README)
# Whoever reads a guide has released the sample, and has the command on PATH.
ON_PATH = 'export PATH="$PWD/.venv/bin:$PATH"\n'
IN_GUIDES = [
    pytest.param(f"{ON_PATH}{command}", id=f"{page.relative_to(DOCS)}: {command.splitlines()[-1]}")
    for page in GUIDES
    if page != GET_STARTED
    for command in typed(page)
]


@dataclass(frozen=True)
class Reader:
    """`env`: of a home in which the README's first command was run. `printed`: by that."""

    env: Mapping[str, str]
    printed: str


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """The home was empty: the reader has nothing yet."""
    with stack_home() as made:
        yield Reader(made, run(FIRST, made))


def run(command: str, env: Mapping[str, str]) -> str:
    """What it printed; it has to end with 0."""
    # Nothing of a `make test ARGS=…` that this may run under reaches the reader's own make.
    env = {name: value for name, value in env.items() if not name.startswith("MAKE") and name != "ARGS"}
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_are_commands_to_run() -> None:
    """The patterns find what they are meant to find."""
    assert IN_README[0] == FIRST
    assert IN_README[-1] == "make clean"
    assert len(IN_GUIDES) > 10


def test_the_readmes_first_command_releases(reader: Reader) -> None:
    """It prints the image, and where the run is shown."""
    assert ":0.1.0@sha256:" in reader.printed
    assert "/flow-runs/flow-run/" in reader.printed


@pytest.mark.parametrize("command", IN_GUIDES)
def test_a_guides_command_works(command: str, reader: Reader) -> None:
    """It ends with 0 after the README's first command, and those before it on its page."""
    run(command, reader.env)


# Last, because of `make clean`.
@pytest.mark.parametrize("command", IN_README[1:], ids=lambda command: command.splitlines()[-1])
def test_the_readmes_other_commands_work(command: str, reader: Reader) -> None:
    """Each ends with 0 when it is typed as it stands there, after those before it."""
    run(command, reader.env)
