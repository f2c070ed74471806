"""An installation in a real cluster: releases as jobs there, and what becomes of them when a part of it dies.

SLIPWAY_TEST_IMAGE: the reference of an image of deployments/worker/Dockerfile, which the nodes can pull.
SLIPWAY_TEST_POSTGRES_IMAGE: one of PostgreSQL in place of Docker Hub's.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from prefect_slipway.infra.domain.version import version_of_tag
from tests import patient
from tests.cluster.conftest import kubectl
from tests.cluster.exposed import exposed
from tests.cluster.installation import Installation, eventually, forward, forwarded_port, installed
from tests.cluster.test_vault_by_service_account import trust_cluster
from tests.contract.buildkit.parts import BUSYBOX
from tests.contract.buildkit.parts import run as run_step
from tests.git_repository import git, make_bare, make_repository
from tests.git_server import serve_git
from tests.integration.relay.conftest import github_push, hex_hmac
from tests.kubernetes.cluster import PASSWORD, USER
from tests.servers import vault_server

IMAGE = os.environ.get("SLIPWAY_TEST_IMAGE")
POSTGRES = os.environ.get("SLIPWAY_TEST_POSTGRES_IMAGE", "docker.io/library/postgres:17")

pytestmark = pytest.mark.skipif(not IMAGE, reason="SLIPWAY_TEST_IMAGE names no image of deployments/worker/Dockerfile")

# Long enough to be in the middle of it when something dies.
SLOW = run_step("sleep 20")


@dataclass(frozen=True)
class Application:
    """A repository on a git server, and where it is released to."""

    bare: Path
    registry: str
    name: str
    request: dict[str, object]

    @property
    def versions(self) -> list[str]:
        """Of the image; the registry has its build cache as well."""
        auth = (USER, PASSWORD)
        answer = patient.get(f"http://{self.registry}/v2/team/{self.name}/tags/list", auth=auth)
        tags = answer.json().get("tags") or [] if answer.status_code == 200 else []
        return sorted(tag for tag in tags if version_of_tag(tag) is not None)

    @property
    def git_tags(self) -> list[str]:
        return git(self.bare, "tag").split()

    @property
    def reservations(self) -> list[str]:
        return git(self.bare, "for-each-ref", "--format=%(refname)", "refs/slipway/").split()


@pytest.fixture(scope="module")
def installation(host_address: str, pushed_to: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Everything in two namespaces; the runs log in to a Vault by their service account."""
    assert IMAGE is not None
    namespace = f"slipway-test-{secrets.token_hex(3)}"
    with vault_server(tmp_path_factory.mktemp("vault")) as vault, exposed(host_address, vault.port) as address:
        vault.put("secret/team/registry", {"username": USER, "password": PASSWORD})
        flows = {"VAULT_ADDR": f"http://{address}", "VAULT_KUBERNETES_ROLE": "slipway"}
        with installed(namespace, {"slipway:0.1.0": IMAGE, "docker.io/library/postgres:17": POSTGRES}, flows) as made:
            kubectl("-n", namespace, "create", "serviceaccount", "vault")
            kubectl(
                *("create", "clusterrolebinding", namespace, "--clusterrole=system:auth-delegator"),
                f"--serviceaccount={namespace}:vault",
            )
            try:
                trust_cluster(vault, namespace, account="slipway-flows", account_namespace=made.runs)
                yield made
            finally:
                kubectl("delete", "clusterrolebinding", namespace)


@pytest.fixture
def application(
    request: pytest.FixtureRequest, host_address: str, pushed_to: str, tmp_path: Path
) -> Iterator[Application]:
    """The Dockerfile is what the test's parameter says, after a base with busybox."""
    steps = getattr(request, "param", SLOW)
    name = f"app-{secrets.token_hex(3)}"
    work = make_repository(tmp_path / "work", {"Dockerfile": f"FROM scratch\nCOPY busybox /bin/busybox\n{steps}"})
    shutil.copy(BUSYBOX, work / "busybox")
    git(work, "add", "busybox")
    git(work, "commit", "--quiet", "--message", "feat: a shell")
    bare = make_bare(tmp_path / "served" / "app.git", work)
    with serve_git(bare.parent) as server, exposed(host_address, server.port) as address:
        yield Application(
            bare,
            pushed_to,
            name,
            {
                "source": f"http://{address}/app.git",
                "image": f"{pushed_to}/team/{name}",
                "credentials": {"registries": ["vault:secret/team/registry"], "insecure_registry": True},
                "builder": {
                    "address": "kubernetes",
                    "options": {"cpu": "50m", "memory": "64Mi", "cache_size": "2Gi"},
                },
                "build": {"network": "none"},
            },
        )


def building(installation: Installation, run: str) -> str:
    """Wait until the run's job builds; gives the pod of the job."""
    installation.wait(run, "RUNNING")
    eventually(installation.builders, "a builder", 90.0, lambda: installation.log(run))
    eventually(lambda: "sleep 20" in installation.log(run), "the build", 60.0, lambda: installation.log(run))
    return next(str(pod["metadata"]["name"]) for pod in installation.pods(run) if pod["status"]["phase"] == "Running")


def assert_released_once(installation: Installation, application: Application) -> None:
    """One version in the registry and in git, no reservation, and nothing in the cluster."""
    assert application.versions == ["0.1.0"]
    assert application.git_tags == ["v0.1.0"]
    assert application.reservations == []
    assert installation.left() == ""


@pytest.mark.parametrize("application", [""], indirect=True)
def test_a_release_runs_as_a_job_in_the_cluster(installation: Installation, application: Application) -> None:
    """Started at the server, run as a job, built by a builder beside it, pushed with the credential that Vault has."""
    run = installation.start(application.request)
    installation.wait(run, "COMPLETED")
    assert len(installation.pods(run)) == 1
    assert_released_once(installation, application)
    artifacts = installation.call("POST", "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    assert any(each["type"] == "markdown" and "0.1.0" in (each["data"] or "") for each in artifacts)
    job = kubectl("-n", installation.runs, "get", "jobs", "-l", f"prefect.io/flow-run-id={run}", "-o", "json")
    password = kubectl("-n", installation.namespace, "get", "secret", "prefect-api", "-o", "json")
    auth_string = base64.b64decode(password["data"]["auth-string"]).decode()
    assert auth_string not in str(job), "the job names the Secret, and does not hold what is in it"


def test_a_killed_worker_disturbs_no_release(installation: Installation, application: Application) -> None:
    """The job goes on; the next worker takes the next run."""
    run = installation.start(application.request)
    building(installation, run)
    delete(installation.namespace, "pod", "-l", "app.kubernetes.io/name=worker", "--grace-period=0", "--force")
    installation.wait(run, "COMPLETED")
    assert_released_once(installation, application)
    rolled_out(installation, "worker")
    again = installation.start({**application.request, "version": {"exact": "0.1.0"}})
    installation.wait(again, "COMPLETED")
    assert_released_once(installation, application)


def test_a_pod_that_is_told_to_go_runs_again(installation: Installation, application: Application) -> None:
    """As when a node is drained: the run ends in order and runs again, and releases the version it had reserved."""
    run = installation.start(application.request)
    pod = building(installation, run)
    delete(installation.runs, "pod", pod, "--wait=false")
    installation.wait(run, "SCHEDULED", "PENDING")
    installation.wait(run, "COMPLETED")
    assert_released_once(installation, application)


def test_a_run_that_dies_without_a_word_is_a_crash_and_can_be_run_again(
    installation: Installation, application: Application
) -> None:
    """As when memory runs out: Crashed within two minutes; a retry finishes the release and cleans up behind both."""
    run = installation.start(application.request)
    pod = building(installation, run)
    kubectl("-n", installation.runs, "exec", pod, "--", "sh", "-c", "kill -9 -1 || true")
    installation.wait(run, "CRASHED")
    assert installation.left() != "", "nobody was left to clean up"
    installation.call("POST", f"flow_runs/{run}/set_state", {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}})
    installation.wait(run, "RUNNING")
    installation.wait(run, "COMPLETED")
    assert_released_once(installation, application)


def test_a_run_whose_pod_was_removed_by_force_is_run_again(
    installation: Installation, application: Application
) -> None:
    """As by an impatient hand: it has two seconds; what it cannot clean up then its next attempt does."""
    run = installation.start(application.request)
    pod = building(installation, run)
    delete(installation.runs, "pod", pod, "--grace-period=0", "--force")
    installation.wait(run, "SCHEDULED", "PENDING")
    installation.wait(run, "COMPLETED")
    assert_released_once(installation, application)


def test_a_cancelled_run_leaves_nothing(installation: Installation, application: Application) -> None:
    """Cancelled in the UI: the build is given up, the version is free again."""
    run = installation.start(application.request)
    building(installation, run)
    installation.call("POST", f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
    installation.wait(run, "CANCELLED")
    eventually(lambda: installation.left() == "", "the builder to go", 60.0, installation.left)
    assert application.versions == []
    assert application.git_tags == []
    assert application.reservations == []


def test_a_restarted_server_disturbs_no_release(installation: Installation, application: Application) -> None:
    """The run goes on without its server for a while, and its end arrives."""
    run = installation.start(application.request)
    building(installation, run)
    delete(installation.namespace, "pod", "-l", "app.kubernetes.io/name=prefect-server", "--wait=false")
    rolled_out(installation, "prefect-server")
    installation.wait(run, "COMPLETED")
    assert_released_once(installation, application)


@pytest.mark.parametrize("application", [""], indirect=True)
def test_a_push_at_the_forge_is_released(installation: Installation, application: Application) -> None:
    """A signed webhook at the relay starts the job that releases that commit; an unsigned one starts nothing."""
    listen_to(installation, application)
    data = kubectl("-n", installation.namespace, "get", "secret", "webhooks", "-o", "json")["data"]
    secret = base64.b64decode(data["example"]).decode().strip()
    commit = git(application.bare, "rev-parse", "HEAD").strip()
    body = json.dumps(github_push(commit)).encode()
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": str(uuid.uuid4())}
    with forward(installation.namespace, "relay", 80) as forwarding:
        try:
            hook = f"http://127.0.0.1:{forwarded_port(forwarding)}/hooks/example"
            assert httpx.post(hook, content=body, headers=headers, timeout=30.0).status_code in {401, 403}
            headers["X-Hub-Signature-256"] = f"sha256={hex_hmac(secret, body)}"
            answer = httpx.post(hook, content=body, headers=headers, timeout=30.0)
        finally:
            forwarding.kill()
    assert answer.status_code == 200, answer.text
    (started,) = answer.json()["runs"]
    run = started["run"]
    installation.wait(run, "COMPLETED")
    assert_released_once(installation, application)


def listen_to(installation: Installation, application: Application) -> None:
    """The relay's rules: a push to main of team/app releases the application."""
    rules = {
        "sources": [{"name": "example", "forge": "github", "secret": "file:/etc/slipway/webhooks/example"}],
        "rules": [
            {
                "name": "main",
                "repository": "team/app",
                "branch": ["main"],
                "deployment": "release/any-source-in-cluster",
                "parameters": {"request": {**application.request, "checkout": {"ref": "{{ commit }}"}}},
            }
        ],
    }
    patch = json.dumps({"data": {"rules.yaml": yaml.safe_dump(rules)}})
    kubectl("-n", installation.namespace, "patch", "configmap", "relay", "--type=merge", "--patch", patch)
    # A node tells a pod of a changed ConfigMap after a minute or so; a new pod has it at once.
    kubectl("-n", installation.namespace, "rollout", "restart", "deployment/relay")
    rolled_out(installation, "relay")


def test_installing_again_changes_nothing(installation: Installation) -> None:
    """Passwords stay as they are, and the deployments as well."""
    before = {
        name: kubectl("-n", installation.namespace, "get", "secret", name, "-o", "json")["data"] for name in PASSWORDS
    }
    kubectl("-n", installation.namespace, "rollout", "restart", "deployment/worker")
    rolled_out(installation, "worker")
    found = kubectl("-n", installation.namespace, "get", "pods", "-l", "app.kubernetes.io/name=worker", "-o", "json")
    newest = max(found["items"], key=lambda pod: str(pod["metadata"]["creationTimestamp"]))["metadata"]["name"]
    said = str(kubectl("-n", installation.namespace, "logs", newest, "-c", "deploy-flows"))
    assert "unchanged" in said
    assert "created" not in said and "updated" not in said, said
    after = {
        name: kubectl("-n", installation.namespace, "get", "secret", name, "-o", "json")["data"] for name in PASSWORDS
    }
    assert after == before


PASSWORDS = ("postgres", "prefect-api", "webhooks")


def delete(namespace: str, *arguments: str) -> None:
    kubectl("-n", namespace, "delete", *arguments)


def rolled_out(installation: Installation, deployment: str) -> None:
    kubectl("-n", installation.namespace, "rollout", "status", f"deployment/{deployment}", "--timeout=180s")
