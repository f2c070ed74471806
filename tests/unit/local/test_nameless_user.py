"""A user id without a name, as containers have it."""

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


def test_what_needs_a_name_says_so() -> None:
    """`slipway doctor` has a finding, not a traceback."""
    if subprocess.run([*NAMELESS, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody be another user")
    done = subprocess.run(
        [*NAMELESS, sys.executable, "-c", SCRIPT], env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    name, finding = done.stdout.splitlines()
    assert name == "None"
    assert "the user id 54321 has no name" in finding or "sysctl" in finding
