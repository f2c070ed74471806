"""An installation of `infra/kubernetes/install` in namespaces of its own, and Prefect's API in it."""

from __future__ import annotations

import base64
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

import prefect_slipway.infra.kubernetes.install
from tests.cluster.conftest import kubectl

INSTALL = Path(prefect_slipway.infra.kubernetes.install.__file__).parent

T = TypeVar("T")

_ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_LABELLED = "leases,deployments,replicasets,pods,services,secrets,configmaps,networkpolicies,persistentvolumeclaims"


def rendered(folder: Path = INSTALL) -> list[dict[str, Any]]:
    """The objects of a kustomization."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def adapted(objects: list[dict[str, Any]], namespace: str, images: Mapping[str, str]) -> list[dict[str, Any]]:
    """The objects in the namespaces `namespace` and `namespace`-runs, with these images, and a database that goes with
    its pod (there may be no StorageClass)."""
    text = yaml.safe_dump_all(objects)
    text = text.replace("slipway-runs", f"{namespace}-runs").replace(".slipway.svc", f".{namespace}.svc")
    for image, other in images.items():
        text = text.replace(f"image: {image}\n", f"image: {other}\n")
    found = list(yaml.safe_load_all(text))
    for each in found:
        for place in (each["metadata"], *each.get("subjects", [])):
            if place.get("namespace") == "slipway":
                place["namespace"] = namespace
        if each["kind"] == "Namespace" and each["metadata"]["name"] == "slipway":
            each["metadata"]["name"] = namespace
        if each["kind"] == "StatefulSet":
            del each["spec"]["volumeClaimTemplates"]
            each["spec"]["template"]["spec"]["volumes"].append({"name": "data", "emptyDir": {}})
    return found


@dataclass
class Installation:
    """`namespace`: of the server; the runs are in `runs`."""

    namespace: str
    _port: int | None = None
    _forward: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def runs(self) -> str:
        return f"{self.namespace}-runs"

    def call(self, method: str, path: str, body: Any = None, timeout_s: float = 60.0) -> Any:
        """Prefect's API, as its clients call it: through a restart of the server as well."""
        auth = base64.b64decode(
            kubectl("-n", self.namespace, "get", "secret", "prefect-api", "-o", "json")["data"]["auth-string"]
        ).decode()
        user, _, password = auth.partition(":")
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                url = f"http://127.0.0.1:{self._forwarded()}/api/{path}"
                answer = httpx.request(method, url, json=body, auth=(user, password), timeout=10.0)
            except (httpx.TransportError, ConnectionError):
                self.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
                continue
            assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
            return answer.json() if answer.content else None

    def start(self, request: Mapping[str, Any]) -> str:
        """Start the deployment release/any-source-in-cluster; gives the flow run's id."""
        deployment = self.call("GET", "deployments/name/release/any-source-in-cluster")["id"]
        return str(
            self.call("POST", f"deployments/{deployment}/create_flow_run", {"parameters": {"request": request}})["id"]
        )

    def state(self, run: str) -> tuple[str, str]:
        """A run's state as TYPE, and what it says."""
        state = self.call("GET", f"flow_runs/{run}")["state"]
        return state["type"], f"{state['name']}: {state['message']}"

    def wait(self, run: str, *types: str, timeout_s: float = 120.0) -> None:
        """Wait until the run is in one of these states; one that has ended otherwise is not waited for."""

        def there() -> bool:
            kind, text = self.state(run)
            assert kind in types or kind not in _ENDED, f"the run ended as {kind} ({text})\n{self.log(run)}"
            return kind in types

        eventually(there, f"the run to be {types}", timeout_s, lambda: f"{self.state(run)}\n{self.log(run)}")

    def log(self, run: str) -> str:
        """The last lines of a run, as Prefect has them."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_DESC", "limit": 40}
        return "\n".join(line["message"] for line in reversed(self.call("POST", "logs/filter", body)))

    def pods(self, run: str) -> list[dict[str, Any]]:
        """The pods of a run's jobs."""
        selector = f"prefect.io/flow-run-id={run}"
        found: list[dict[str, Any]] = kubectl("-n", self.runs, "get", "pods", "-l", selector, "-o", "json")["items"]
        return found

    def builders(self) -> list[str]:
        """The pods of builders that are ready."""
        found = kubectl("-n", self.runs, "get", "pods", "-l", "slipway.dev/builder", "-o", "json")["items"]
        return [
            pod["metadata"]["name"]
            for pod in found
            if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
        ]

    def left(self) -> str:
        """What runs have left in the cluster, as `kubectl get -o name` lists it."""
        return str(
            kubectl("-n", self.runs, "get", _LABELLED, "-l", "app.kubernetes.io/managed-by=slipway", "-o", "name")
        )

    def close(self) -> None:
        if self._forward is not None:
            self._forward.kill()
            self._forward.wait()
            assert self._forward.stdout is not None
            self._forward.stdout.close()
            self._forward, self._port = None, None

    def _forwarded(self) -> int:
        if self._port is None:
            self._forward = forward(self.namespace, "prefect-server", 4200)
            self._port = forwarded_port(self._forward)
        return self._port


def forward(namespace: str, service: str, port: int) -> subprocess.Popen[str]:
    """kubectl's port-forward to a Service, from a port of this machine that it chooses."""
    arguments = ["kubectl", "-n", namespace, "port-forward", f"service/{service}", f":{port}"]
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True
    )


def forwarded_port(process: subprocess.Popen[str]) -> int:
    """The port that it chose, once it listens. Raises ConnectionError."""
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.search(r"127\.0\.0\.1:(\d+)", said)
    if found is None:
        raise ConnectionError(f"there is no port-forward to the Service: {said}")
    return int(found[1])


@contextmanager
def installed(namespace: str, images: Mapping[str, str], flows: Mapping[str, str]) -> Iterator[Installation]:
    """Install, wait until all is ready, and remove it at the end. `flows`: the environment of the runs."""
    objects = adapted(rendered(), namespace, images)
    for each in objects:
        if each["kind"] == "ConfigMap" and each["metadata"]["name"] == "slipway-flows":
            each["data"].update(flows)
    installation = Installation(namespace)
    try:
        kubectl("apply", "--validate=false", "-f", "-", stdin=yaml.safe_dump_all(objects))
        for workload in ("statefulset/postgres", "deployment/prefect-server", "deployment/worker", "deployment/relay"):
            kubectl("-n", namespace, "rollout", "status", workload, "--timeout=240s")
        yield installation
    finally:
        installation.close()
        kubectl("delete", "namespace", namespace, f"{namespace}-runs", "--wait=false", "--ignore-not-found")


def eventually(look: Callable[[], T | None], what: str, timeout_s: float, why: Callable[[], str] = str) -> T:
    """What `look` gives once it gives something."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}: {why()}"
        time.sleep(0.5)
