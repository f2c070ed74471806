"""What Tab offers, by argcomplete's protocol; and that real shells take the code."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.completing import offered
from tests.conftest import clean_environment, run_slipway

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "near",
    "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("near", "far")],
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "u", "user": {}}],
}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("slipway rel", ["release", "relay"]),
        ("slipway release --bum", ["--bump"]),
        ("slipway release --bump p", ["patch", "prerelease"]),
        ("slipway deploy --context ", ["near", "far"]),
        ("slipway deploy --namespace ", []),
    ],
)
def test_words_are_completed(tmp_path: Path, line: str, expected: list[str]) -> None:
    """Commands, options, choices, contexts; a cluster that does not answer offers nothing and says nothing."""
    config = tmp_path / "config"
    config.write_text(json.dumps(KUBECONFIG))
    env = clean_environment(SLIPWAY_HOME=str(tmp_path / "home"), KUBECONFIG=str(config))
    assert sorted(offered(tmp_path, line, env)) == sorted(expected)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_takes_the_code(tmp_path: Path, shell: str) -> None:
    """As far as the shell is on this machine, it reads it without complaint."""
    code = run_slipway("completion", shell, env=clean_environment(SLIPWAY_HOME=str(tmp_path))).stdout
    assert "slipway" in code
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=code, text=True, check=True, capture_output=True)
