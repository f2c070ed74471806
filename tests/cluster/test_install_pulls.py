"""An installation from a registry that asks for a password, and after a mistake in its image: what the API server
takes, and what the nodes pull. Slipway's own image is not needed: what runs in these pods does not matter here.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import prefect_slipway.deployments
from tests.cluster.conftest import kubectl
from tests.cluster.installation import adapted, eventually, rendered
from tests.kubernetes.cluster import PASSWORD, USER
from tests.kubernetes.rollout_parts import push_images

POOL = Path(prefect_slipway.deployments.__file__).parent / "pools" / "slipway-kubernetes.kubernetes.json"
OURS = {"slipway:0.1.0", "docker.io/library/postgres:17"}


@pytest.fixture
def namespaces() -> Iterator[list[str]]:
    name = f"slipway-test-{secrets.token_hex(3)}"
    found = [name, f"{name}-runs"]
    yield found
    kubectl("delete", "namespace", *found, "--wait=false", "--ignore-not-found")


def install(namespace: str, image: str) -> str:
    """`kubectl apply` of everything, with one image for all of it."""
    objects = adapted(rendered(), namespace, dict.fromkeys(OURS, image))
    return str(kubectl("apply", "--validate=false", "-f", "-", stdin=yaml.safe_dump_all(objects)))


def job_of_a_run(image: str) -> dict[str, Any]:
    """What Prefect's worker makes of the pool's template."""
    template = json.loads(POOL.read_text())
    defaults = {name: field.get("default") for name, field in template["variables"]["properties"].items()}
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]
    pod["spec"]["serviceAccountName"] = defaults["service_account_name"]
    (container,) = pod["spec"]["containers"]
    container |= {"image": image, "args": ["/bin/busybox", "true"], "env": []}
    container.pop("imagePullPolicy")
    container["resources"] = {}
    for name in ("completions", "parallelism"):
        pod["spec"].pop(name)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a-run"}, "spec": {"template": pod}}


def pulled(namespace: str, image: str) -> dict[str, bool]:
    """Of each pod that is to run the image, whether its node has it: its first container was tried to be started."""
    found = {}
    for pod in kubectl("-n", namespace, "get", "pods", "-o", "json")["items"]:
        first = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]][0]
        if first["image"] != image or pod["metadata"].get("deletionTimestamp"):
            continue
        status = pod["status"]
        states = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        (state,) = [each for each in states if each["name"] == first["name"]] or [{}]
        waiting = state.get("state", {}).get("waiting", {}).get("reason", "")
        # One without the Secret that its environment is from was pulled for as well.
        found[pod["metadata"]["name"]] = bool(state.get("imageID")) or waiting == "CreateContainerConfigError"
    return found


def test_a_mistake_in_the_image_is_mended_by_the_same_command_and_pulled_with_the_password(
    pulled_from: str, namespaces: list[str]
) -> None:
    """Whatever the first image was; for the pods of server, worker, relay and PostgreSQL, and for the runs' jobs."""
    namespace, runs = namespaces
    install(namespace, f"{pulled_from}/no/such:1")
    image = push_images(pulled_from, f"t{secrets.token_hex(4)}/slipway", (USER, PASSWORD))["good"]
    for each in namespaces:
        login = (f"--docker-server={pulled_from}", f"--docker-username={USER}", f"--docker-password={PASSWORD}")
        kubectl("-n", each, "create", "secret", "docker-registry", "slipway-pull", *login)
    # Which `make-passwords` would make, were there more in this image than a shell.
    kubectl("-n", namespace, "create", "secret", "generic", "webhooks", "--from-literal=example=x")
    changed = install(namespace, image)
    for name in ("deployment.apps/prefect-server", "deployment.apps/worker", "deployment.apps/relay"):
        assert f"{name} configured" in changed

    def everywhere() -> bool:
        found = pulled(namespace, image)
        names = {name.rsplit("-", 2)[0] for name in found} | {name.rsplit("-", 1)[0] for name in found}
        return {"prefect-server", "worker", "relay", "postgres"} <= names and all(found.values())

    eventually(everywhere, "the image on its nodes", 180.0, lambda: str(kubectl("-n", namespace, "get", "pods")))
    kubectl("-n", runs, "create", "--validate=false", "-f", "-", stdin=yaml.safe_dump(job_of_a_run(image)))
    kubectl("-n", runs, "wait", "--for=condition=complete", "job/a-run", "--timeout=120s")
