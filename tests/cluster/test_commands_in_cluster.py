"""What `slipway doctor` and `slipway manifests` say, by a real API server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import prefect_slipway.infra.kubernetes
from tests.cluster.conftest import kubectl
from tests.cluster.roles import kubeconfig_with_role, revoked
from tests.conftest import SLIPWAY, clean_environment

ROLES = Path(prefect_slipway.infra.kubernetes.__file__).parent


def slipway(kubeconfig: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Without a stack: neither needs one."""
    env = clean_environment(KUBECONFIG=str(kubeconfig), SLIPWAY_HOME=str(home / "no stack"))
    return subprocess.run([SLIPWAY, *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("file", "role", "arguments", "lost"),
    [
        ("role.yaml", "slipway", [], "leases"),
        ("role.yaml", "slipway", [], "secrets"),
        ("role.yaml", "slipway", [], "networkpolicies"),
        ("deploy-role.yaml", "slipway-deploy", ["--workload", "deployment/app"], "pods"),
    ],
    ids=["leases", "secrets", "networkpolicies", "deploy"],
)
async def test_doctor_names_a_right_that_is_missing(
    namespace: str, tmp_path: Path, file: str, role: str, arguments: list[str], lost: str
) -> None:
    """Nothing is missing with the Role that ships; a verb that is taken out of it is named with what to grant."""

    def finding() -> dict[str, Any]:
        done = slipway(kubeconfig, tmp_path, "doctor", "--format", "json", *arguments)
        assert done.stderr == ""
        (found,) = (each for each in json.loads(done.stdout) if each["part"] == "cluster")
        assert done.returncode == 1 or found["fix"] is None
        return dict(found)

    kubeconfig = kubeconfig_with_role(namespace, tmp_path, ROLES / file, role)
    assert finding()["fix"] is None
    verb = "list" if lost in {"pods", "networkpolicies"} else "delete"
    revoked(namespace, role, lost, [verb])
    found = finding()
    assert f"missing in namespace {namespace}: {verb} on {lost}" in found["found"]
    assert f"grant {verb} on {lost}" in found["fix"]


async def test_what_manifests_prints_is_taken_by_the_api_server(namespace: str, tmp_path: Path) -> None:
    """In the namespace of the kubeconfig's context, which nobody has named beside it."""
    config = kubectl("config", "view", "--raw", "--minify", "-o", "json")
    config["contexts"][0]["context"]["namespace"] = namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    printed = slipway(kubeconfig, tmp_path, "manifests")
    assert (printed.returncode, printed.stderr) == (0, "")
    kubectl("apply", "--dry-run=server", "-f", "-", stdin=printed.stdout)
    kubectl("apply", "-f", "-", stdin=printed.stdout)
    kubectl("-n", namespace, "rollout", "status", "deployment/buildkitd", "--timeout=120s")
