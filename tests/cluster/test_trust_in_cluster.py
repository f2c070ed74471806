"""From a release to a workload: tested by a job in the cluster, signed with a key in Vault, deployed only then."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import DEPLOYMENT, Object
from prefect_slipway.infra.kubernetes.access.labels import MANAGED_BY, SLIPWAY
from prefect_slipway.infra.kubernetes.builders.sweep import everything
from tests import patient
from tests.cluster import job_gate
from tests.cluster.conftest import kubectl
from tests.conftest import RunningStack
from tests.contract.buildkit.parts import busybox_context
from tests.git_repository import git
from tests.kubernetes.cluster import PASSWORD, USER, ClusterUnderTest
from tests.kubernetes.release_contract import Command, ReleaseParts
from tests.kubernetes.rollout_parts import BEHAVIOURS, make, push_images, running_images
from tests.servers import vault_server
from tests.waiting import wait_until

SECRET = "secret/cluster/registry"
KEY = "vault:transit/release"
PULL = "pull"


class TestTrustInCluster(ReleaseParts):
    @pytest.fixture
    def environment(self, stack: RunningStack, cluster: ClusterUnderTest, tmp_path: Path) -> Iterator[dict[str, str]]:
        """The cluster's kubeconfig, and a Vault of its own with the registry's credential and the signing key."""
        with vault_server(tmp_path / "vault") as vault:
            vault.put(SECRET, {"username": USER, "password": PASSWORD})
            vault.root.call("POST", "sys/mounts/transit", {"type": "transit"})
            vault.root.call("POST", "transit/keys/release", {"type": "ecdsa-p256"})
            yield {
                "KUBECONFIG": cluster.access.kubeconfig or "",
                "VAULT_ADDR": vault.address,
                "VAULT_TOKEN": str(vault.token(policies=["root"], ttl="10m")["client_token"]),
                "PREFECT_API_URL": str(stack.connection.prefect_api_url),
            }

    @pytest.fixture
    def gate(self, stack: RunningStack, environment: dict[str, str], namespace: str, pulled_from: str) -> Iterator[str]:
        """A process that serves the gate's deployment."""
        kubectl(
            *("-n", namespace, "create", "secret", "docker-registry", PULL, f"--docker-server={pulled_from}"),
            *(f"--docker-username={USER}", f"--docker-password={PASSWORD}"),
        )
        module = job_gate.__name__
        program = f"import asyncio, {module} as gate; asyncio.run(gate.serve({namespace!r}, {PULL!r}))"
        env = {
            **stack.env,
            **environment,
            "KUBECONFIG": os.environ["KUBECONFIG"],
            "PREFECT_HOME": str(stack.connection.home / "prefect-client"),
        }
        process = subprocess.Popen([sys.executable, "-c", program], env=env, cwd=job_gate.ROOT)
        api = stack.connection.prefect_api_url

        def ready() -> bool:
            answer = patient.get(f"{api}/deployments/name/job/{job_gate.NAME}")
            return answer.status_code == 200 and answer.json()["parameters"]["namespace"] == namespace

        wait_until(ready)
        yield f"starts: deployment:job/{job_gate.NAME}"
        process.terminate()
        process.wait(30)

    async def test_from_a_release_to_a_workload(
        self, command: Command, gate: str, pulled_from: str, namespace: str, api: KubernetesApi, tmp_path: Path
    ) -> None:
        """A failing gate leaves nothing public; what is signed is rebuilt elsewhere and deployed; what is not
        signed is refused, and nothing is written."""
        repository = f"{pulled_from}/{namespace}/app"
        access = ("--insecure-registry", "--credentials", f"vault:{SECRET}", "--format", "json")
        builder = ("--builder", "kubernetes", "--builder-option", "cpu=50m", "--builder-option", "memory=64Mi")
        release = (
            *(*builder, "--reproducible"),
            *("--image", repository, "--sign", KEY, "--gate", gate, *access),
        )
        command_line = ["/bin/busybox", "sh", "-c", BEHAVIOURS["good"]]
        dockerfile = f"FROM scratch\nCOPY busybox /bin/busybox\nCOPY check /check\nCMD {json.dumps(command_line)}\n"
        source = busybox_context(tmp_path / "app", dockerfile)
        (source / "check").write_text("echo this does not start; exit 3\n")
        failed = await command("release", source, *release)
        error = json.loads(failed.stdout)["error"]
        assert error["cause"] == "GateFailed" and "this does not start" in failed.stderr, failed.stderr
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

        (source / "check").write_text("exit 0\n")
        git(source, "init", "--quiet", "--initial-branch=main")
        git(source, "add", "--all")
        git(source, "commit", "--quiet", "--message", "feat: start")
        released = await command("release", source, *release)
        assert released.returncode == 0, released.stderr
        result = json.loads(released.stdout)
        assert result["version"] == "0.1.0" and [each["outcome"] for each in result["gates"]] == ["passed"]
        assert result["signed_by"]
        rebuilt = await command("rebuild", result["reference"], "--source", source, *builder, *access)
        assert rebuilt.returncode == 0, rebuilt.stderr
        assert json.loads(rebuilt.stdout)["platforms"] == result["platforms"]
        assert await everything(api, f"{MANAGED_BY}={SLIPWAY}") == []

        images = await asyncio.to_thread(push_images, pulled_from, f"{namespace}/app", (USER, PASSWORD))
        await make(api, DEPLOYMENT, images["good"])
        deploy = (
            *("--workload", "deployment/app", "--pull-credentials", f"vault:{SECRET}", "--require", KEY),
            *("--require", "gate=starts", "--require", "provenance", *access),
        )

        def workload() -> Object:
            found: Object = kubectl("-n", namespace, "get", "deployment", "app", "-o", "json")
            return found

        before = workload()["spec"]
        refused = await command("deploy", images["better"], *deploy)
        assert refused.returncode == 1 and json.loads(refused.stdout)["error"]["cause"] == "NotSigned", refused.stderr
        assert workload()["spec"] == before

        deployed = await command("deploy", result["reference"], *deploy)
        assert deployed.returncode == 0, deployed.stderr
        runs = workload()["spec"]["template"]["spec"]["containers"][0]["image"]
        assert runs == f"{repository}@{result['digest']}"
        assert await running_images(api) == {runs}
