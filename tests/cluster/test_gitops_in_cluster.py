"""The whole chain on a real cluster: a push, the relay, a worker, a release with a gate, a commit in the repository
that the cluster follows, and the workload that runs the digest."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.cluster.conftest import kubectl, run_kubectl
from tests.cluster.roles import kubeconfig_with_role
from tests.cluster.test_deploys_in_cluster import ROLE
from tests.conftest import Run, RunningStack
from tests.git_repository import commit, git, make_bare, make_repository
from tests.git_server import serve_git
from tests.integration.relay.conftest import github_push, running_relay
from tests.integration.worker.conftest import worker
from tests.kubernetes.cluster import PASSWORD, USER
from tests.prefect_server import PrefectServer
from tests.releases import BASE, make_source
from tests.servers import vault_server
from tests.warm import WarmStarter

GIT_PASSWORD = "hidden-treasure-4711"


def manifests(image: str) -> dict[str, str]:
    """What the cluster follows: a Deployment that runs an image which does not exist yet, and a kustomization."""
    container = {
        "name": "app",
        "image": "app",
        "command": ["/bin/busybox", "sleep", "3600"],
        "resources": {"limits": {"memory": "32Mi"}, "requests": {"cpu": "1m", "memory": "4Mi"}},
    }
    labels = {"app": "app"}
    pod = {"containers": [container], "imagePullSecrets": [{"name": "pull"}], "terminationGracePeriodSeconds": 0}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    images = f"images:\n- name: app # as app.yaml calls it\n  newName: {image}\n  newTag: none\n"
    kustomization = f"resources: [app.yaml]\n{images}"
    return {"live/app.yaml": yaml.safe_dump(deployment), "live/kustomization.yaml": kustomization}


@contextmanager
def reconciler(bare: Path, folder: Path, namespace: str) -> Iterator[list[str]]:
    """Applies the repository's folder again and again, as Argo CD or Flux would; what kubectl complained about."""
    said: list[str] = []
    git(folder.parent, "clone", "--quiet", str(bare), str(folder))
    over = threading.Event()

    def follow() -> None:
        while not over.wait(1.0):
            git(folder, "pull", "--quiet")
            # The server validates by itself, also where it does not publish its schema.
            said.append(run_kubectl("apply", "--validate=false", "-n", namespace, "-k", str(folder / "live")).stderr)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield said
    finally:
        over.set()
        thread.join()


async def test_from_a_push_to_a_workload_that_runs_it(
    stack: RunningStack,
    commands: WarmStarter,
    slipway: Run,
    namespace: str,
    pulled_from: str,
    tmp_path: Path,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    """Each link does its part by itself, and the run ends when the cluster runs the digest."""
    name = f"t{uuid.uuid4().hex[:8]}"
    image = f"{pulled_from}/{name}/app"
    bare = make_bare(tmp_path / "served" / "config.git", make_repository(tmp_path / "config", manifests(image)))
    login = (f"--docker-server={pulled_from}", f"--docker-username={USER}", f"--docker-password={PASSWORD}")
    kubectl("-n", namespace, "create", "secret", "docker-registry", "pull", *login)
    kubeconfig = kubeconfig_with_role(namespace, tmp_path, ROLE, "slipway-deploy")
    with serve_git(bare.parent, password=GIT_PASSWORD) as server, vault_server(tmp_path / "vault") as vault:
        vault.put("secret/git", {"username": "robot", "password": GIT_PASSWORD})
        vault.put("secret/registry", {"username": USER, "password": PASSWORD})
        target = {
            "repository": server.url("config.git"),
            "path": "live",
            "image_name": "app",
            "credentials": "vault:secret/git",
            "workload": "deployment/app",
            "namespace": namespace,
            "timeout_s": 120,
        }
        source = make_source(tmp_path / "app", BASE)
        lines = [f"{key} = {json.dumps(value)}" for key, value in target.items()]
        (source / "slipway.toml").write_text("\n".join(["[deploy.live]", *lines, ""]))
        git(source, "init", "--quiet", "--initial-branch=main")
        commit(source, "feat: begin", {})
        request = {
            "source": make_bare(tmp_path / "app.git", source).as_uri(),
            "image": image,
            "credentials": {"registries": ["vault:secret/registry"], "insecure_registry": True},
            "gates": {"run": ["smoke: true"]},
            "config": {"allow": ["deploy.live"]},
        }
        stanza = {
            "name": name,
            "entrypoint": "prefect_slipway.flows.release.release",
            "work_pool": {"name": "slipway"},
            "tags": ["slipway"],
            "parameters": {"request": {}},
        }
        (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [stanza]}))
        assert slipway("deploy-flows", "--pool", "slipway").returncode == 0
        done = slipway("deploy-flows", "--file", tmp_path / "prefect.yaml", "--only", "deployments")
        assert done.returncode == 0, done.stderr
        (tmp_path / "relay").mkdir()
        rule = {
            "name": "main",
            "repository": "team/app",
            "branch": "main",
            "deployment": f"release/{name}",
            "parameters": {"request": {**request, "checkout": {"ref": "{{ commit }}"}}},
        }
        forge = {"name": "github", "forge": "github", "secret": f"file:{tmp_path / 'relay' / 'github'}"}
        rules = {"sources": [forge], "rules": [rule]}
        (tmp_path / "relay" / "rules.yaml").write_text(yaml.safe_dump(rules))
        token = str(vault.token(policies=["root"])["client_token"])
        env = {
            **stack.env,
            "KUBECONFIG": str(kubeconfig),
            "VAULT_ADDR": vault.address,
            "VAULT_TOKEN": token,
            "SLIPWAY_GATE_COMMANDS": "true",
        }
        prefect = PrefectServer(stack.connection.prefect_api_url)
        with (
            reconciler(bare, tmp_path / "followed", namespace) as complaints,
            worker(env, tmp_path / "worker"),
            running_relay(commands, tmp_path / "relay") as relay,
        ):
            begin = time.monotonic()
            pushed = relay.github(github_push(git(source, "rev-parse", "HEAD")))
            run = pushed.json()["runs"][0]["run"]
            end = prefect.end(run)
            seconds = time.monotonic() - begin
    assert (end["type"], end["name"]) == ("COMPLETED", "Completed"), (end["message"], complaints[-1:])
    text = git(bare, "show", "main:live/kustomization.yaml")
    (entry,) = yaml.safe_load(text)["images"]
    assert "# as app.yaml calls it" in text
    assert entry["newTag"] == "0.1.0"
    running = kubectl("-n", namespace, "get", "deployment", "app", "-o", "json")
    assert running["spec"]["template"]["spec"]["containers"][0]["image"] == f"{image}:0.1.0@{entry['digest']}"
    assert running["status"]["availableReplicas"] == 1
    pods = kubectl("-n", namespace, "get", "pods", "-l", "app=app", "-o", "json")["items"]
    assert any(entry["digest"] in pod["status"]["containerStatuses"][0]["imageID"] for pod in pods)
    assert f"Slipway-Digest: {entry['digest']}" in git(bare, "log", "-1", "--format=%B", "main")
    # With the ten seconds for which the rollout had to stay complete.
    record_testsuite_property("seconds from push to a confirmed rollout", round(seconds, 1))
    print(f"{seconds:.1f} s from the push to a confirmed rollout")
