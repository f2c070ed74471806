"""`slipway sweep` and `slipway manifests` on the Kubernetes in this process."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.builders.manifests import run_lease
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Run
from prefect_slipway.infra.kubernetes.builders.sweep import sweep
from tests.conftest import clean_environment, run_slipway
from tests.kubernetes.cluster import names_left
from tests.kubernetes.rbac import Authorizer, least_role
from tests.kubernetes.server import KubernetesServer

OURS = "app.kubernetes.io/managed-by=slipway"
PAST = "2020-01-01T00:00:00.000000Z"


@pytest.fixture
def engine_socket() -> None:
    """Nothing runs behind the objects."""


async def slipway(
    kubernetes: KubernetesServer, folder: Path, *arguments: str, namespace: str | None = None, **more: str
) -> str:
    """There is no Prefect server, so nothing is said of one. `namespace`: of the kubeconfig's context."""
    kubeconfig = kubernetes.kubeconfig(folder, namespace=namespace)
    env = clean_environment(KUBECONFIG=str(kubeconfig), HOME=str(folder), SLIPWAY_HOME=str(folder / "no stack")) | more
    done = await asyncio.to_thread(run_slipway, *arguments, env=env)
    assert (done.returncode, done.stderr.removeprefix("> sweep\n")) == (0, "")
    return done.stdout


async def test_sweep_removes_what_expired_and_nothing_else(
    kubernetes: KubernetesServer, api: KubernetesApi, tmp_path: Path
) -> None:
    """A living run's Lease stays, and what bears another's labels; what went is named."""
    now = api.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    await api.create(run_lease(BuilderSpec(), Run("dead"), 60, PAST))
    await api.create(run_lease(BuilderSpec(), Run("alive"), 600, now))
    assert await slipway(kubernetes, tmp_path, "sweep") == "removed lease/slipway-dead\n"
    assert await names_left(api, OURS) == ["Lease/slipway-alive"]
    assert await slipway(kubernetes, tmp_path, "sweep") == "nothing had expired\n"


async def test_manifests_are_objects_that_neither_release_nor_sweep_takes_for_its_own(
    kubernetes: KubernetesServer, api: KubernetesApi, tmp_path: Path
) -> None:
    """All that makes a builder, as YAML, with the options that were asked for; no Secrets where they are not wanted."""
    text = await slipway(kubernetes, tmp_path, "manifests", "--namespace", "default", "--builder-option", "cpu=2")
    objects: list[Any] = list(yaml.safe_load_all(text))
    kinds = sorted(obj["kind"] for obj in objects)
    assert kinds == ["ConfigMap", "Deployment", "NetworkPolicy", "Secret", "Secret", "Service"]
    (deployment,) = (obj for obj in objects if obj["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == "2"
    for obj in objects:
        if obj["kind"] != "Deployment":  # there is no engine here that its pod could run
            await api.create(obj)
    assert await names_left(api, OURS) == []
    assert (await sweep(api)).objects == ()
    assert "kind: Secret" not in await slipway(kubernetes, tmp_path, "manifests", "--no-secrets")


@pytest.mark.parametrize(
    ("arguments", "namespace", "more", "expected"),
    [
        ([], "builders", {}, "builders"),
        (["--context", "c"], "builders", {}, "builders"),
        (["--namespace", "mine"], "builders", {}, "mine"),
        ([], None, {}, "default"),
        ([], None, {"KUBECONFIG": ""}, "default"),
    ],
)
async def test_manifests_are_for_the_contexts_namespace(
    kubernetes: KubernetesServer,
    tmp_path: Path,
    arguments: list[str],
    namespace: str | None,
    more: dict[str, str],
    expected: str,
) -> None:
    """As kubectl would apply them, and the certificate names it; the cluster is not asked, and none is needed."""
    text = await slipway(kubernetes, tmp_path, "manifests", *arguments, namespace=namespace, **more)
    objects: list[Any] = list(yaml.safe_load_all(text))
    assert {obj["metadata"]["namespace"] for obj in objects} == {expected}
    (tls,) = (obj["data"] for obj in objects if obj["metadata"]["name"] == "buildkitd-tls")
    certificate = x509.load_pem_x509_certificate(base64.b64decode(tls["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert f"buildkitd.{expected}.svc" in names.get_values_for_type(x509.DNSName)
    assert kubernetes.requests == []


@pytest.mark.parametrize(
    ("arguments", "role", "lost"),
    [([], "slipway", "secrets"), (["--workload", "deployment/app"], "slipway-deploy", "pods")],
)
async def test_doctor_says_what_may_not_be_done_in_the_cluster(
    kubernetes: KubernetesServer, tmp_path: Path, arguments: list[str], role: str, lost: str
) -> None:
    """Of what a builder, or a deploy, takes; nothing is written. An API server that does not answer is said as well."""

    async def finding() -> dict[str, str | None]:
        env = clean_environment(KUBECONFIG=str(kubeconfig), SLIPWAY_HOME=str(tmp_path / "no stack"))
        done = await asyncio.to_thread(run_slipway, "doctor", "--format", "json", *arguments, env=env)
        assert done.stderr == ""
        (found,) = (each for each in json.loads(done.stdout) if each["part"] == "cluster")
        assert done.returncode == 1 or found["fix"] is None
        return dict(found)

    kubeconfig = kubernetes.kubeconfig(tmp_path)
    kubernetes.fault = authorizer = Authorizer(least_role(role), kubernetes.store)
    assert (await finding())["fix"] is None
    authorizer.without(lost, "list")
    found = await finding()
    assert f"missing in namespace default: list on {lost}" in str(found["found"])
    assert f"grant list on {lost}" in str(found["fix"])
    assert kubernetes.store.objects == {}
    kubeconfig.write_text(kubeconfig.read_text().replace(f":{kubernetes.port}", ":9"))
    assert "cannot be reached" in str((await finding())["found"])
