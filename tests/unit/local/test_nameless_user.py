"""A user id without a name, as containers have it, and without HOME."""

from __future__ import annotations

import subprocess
import sys

import pytest

NAMELESS = ("unshare", "--user", "--map-user=54321")
SCRIPT = """
from prefect_slipway.infra.common.account import login_name
from prefect_slipway.infra.local.userns import user_namespaces
print(login_name())
print(user_namespaces())
"""
COMMANDS = """
from prefect_slipway.flows.cli import main
for command in (["status"], ["logout", "localhost:1"], ["down"]):
    print(main(command))
"""


@pytest.fixture(autouse=True)
def may_be_another_user() -> None:
    if subprocess.run([*NAMELESS, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody be another user")


def nameless(script: str) -> list[str]:
    """The lines that it printed."""
    done = subprocess.run(
        [*NAMELESS, sys.executable, "-c", script], env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_needs_a_name_says_so() -> None:
    """`slipway doctor` has a finding, not a traceback."""
    name, finding = nameless(SCRIPT)
    assert name == "None"
    assert "the user id 54321 has no name" in finding or "sysctl" in finding


def test_commands_that_need_no_home_run_without_one() -> None:
    """Its home is `/`, as with container engines."""
    said = nameless(COMMANDS)
    assert said[-4:] == ["not logged in", "0", "nothing was running", "0"]
