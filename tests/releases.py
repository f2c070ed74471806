"""Releases by the command line in tests: sources for them, and what they leave in the world."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.local.vault_api import VaultApi
from prefect_slipway.infra.registry.model import OCI_INDEX, OCI_MANIFEST
from tests import patient
from tests.prefect_server import PrefectServer
from tests.waiting import PATIENCE_S, looks
from tests.warm import Ended

BASE = "FROM scratch\nCOPY busybox /bin/busybox\n"
DOCKERFILE = BASE + 'RUN ["/bin/busybox", "true"]\n'

_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def run_line(command: str) -> str:
    """A RUN instruction in busybox's shell."""
    return f"RUN {json.dumps(['/bin/busybox', 'sh', '-c', command])}\n"


def make_source(folder: Path, dockerfile: str = DOCKERFILE) -> Path:
    """A directory outside of git that builds; nothing of it is in any cache but busybox's layer."""
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(dockerfile)
    shutil.copy2(shutil.which("busybox") or "/bin/busybox", folder / "busybox")
    return folder


def result_of(ended: Ended) -> dict[str, Any]:
    """The one object that a successful release printed."""
    assert ended.code == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def complaint(ended: Ended, code: int = 1) -> str:
    """What a failed release said at its end: cause, details and next action, and nothing but that; the same in JSON
    where that was asked for."""
    assert ended.code == code, (ended.code, ended.stderr)
    assert "Traceback" not in ended.stderr, ended.stderr
    _, found, said = ended.stderr.rpartition("slipway: ")
    assert found, ended.stderr
    assert "\nNext: " in said, said
    if ended.stdout:
        error = json.loads(ended.stdout)["error"]
        assert said.startswith(error["message"]) and f"\nNext: {error['next']}\n" in said
    return said


@dataclass(frozen=True)
class Traces:
    """What there is of releases in a stack: to be compared before and after."""

    connection: StackConnection

    def fetched(self) -> list[str]:
        """Folders that sources were fetched into."""
        folder = self.connection.home / "work"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def images(self) -> list[str]:
        """Images in the builder's store."""
        return sorted(image["Id"] for image in docker(self.connection.builder, "/images/json?all=1"))

    def state(self, name: str) -> dict[str, Any]:
        """The Prefect state of the newest run whose name holds `name`; it is a final one."""
        run = self.runs(name)[0]
        state: dict[str, Any] = run["state"]
        assert state["type"] in _FINAL, state
        return state

    def runs(self, name: str) -> list[dict[str, Any]]:
        """The Prefect runs whose name holds `name`, newest first."""
        query = {"flow_runs": {"name": {"like_": name}}, "sort": "START_TIME_DESC"}
        answer = patient.post(f"{self.connection.prefect_api_url}/flow_runs/filter", json=query)
        runs: list[dict[str, Any]] = answer.raise_for_status().json()
        return runs

    def reports(self, name: str) -> list[str]:
        """The Markdown that the newest run whose name holds `name` has shown, newest first."""
        run = self.runs(name)[0]["id"]
        query = {"artifacts": {"flow_run_id": {"any_": [run]}, "type": {"any_": ["markdown"]}}, "sort": "CREATED_DESC"}
        answer = patient.post(f"{self.connection.prefect_api_url}/artifacts/filter", json=query)
        return [str(each["data"]) for each in answer.raise_for_status().json()]

    def report(self, run: str) -> str:
        """The Markdown of a run's report and plan."""
        query = {"artifacts": {"flow_run_id": {"any_": [run]}, "type": {"any_": ["markdown"]}}}
        answer = patient.post(f"{self.connection.prefect_api_url}/artifacts/filter", json=query)
        return "\n".join(str(artifact["data"]) for artifact in answer.raise_for_status().json())

    def told(self, event: str, image: str) -> dict[str, Any]:
        """The payload of the newest event of that name about an image; the server writes it down some time later."""
        query = {"filter": {"resource": {"id": [f"slipway.image/{image}"]}, "event": {"name": [event]}}}
        for _ in looks():
            answer = patient.post(f"{self.connection.prefect_api_url}/events/filter", json=query)
            if found := answer.raise_for_status().json()["events"]:
                return dict(found[0]["payload"])
        raise AssertionError(f"no event {event} about {image}")

    def log(self, run: str) -> list[str]:
        """The messages of a run's log and of its tasks', oldest first."""
        return [record["message"] for record in PrefectServer(self.connection.prefect_api_url).log(run)]

    def tags(self, repository: str) -> list[str]:
        """The tags in the stack's registry."""
        return registry_tags(str(self.connection.registry), repository, registry_login(self.connection))

    def assert_nothing_left(self) -> None:
        """No fetched source, no image in the builder's store. (A reservation would be among the tags.)"""
        left = (self.fetched(), self.images())
        assert left == ([], []), left

    def assert_failed(self, name: str, cause: str) -> None:
        """Nothing is left, no tag was made, and the run's final state says the cause."""
        self.assert_nothing_left()
        assert self.tags(name) == []
        state = self.state(name)
        assert state["type"] in {"FAILED", "CRASHED"}
        assert cause in state["message"]


def registry_login(connection: StackConnection) -> tuple[str, str]:
    """User and password of the stack's registry, read as a release reads them."""
    assert connection.approle_file is not None
    port = urlsplit(connection.vault_address).port
    with VaultApi(port or 0) as api:
        login = api.call("POST", "auth/approle/login", json.loads(connection.approle_file.read_text()))
        role = api.with_token(login["auth"]["client_token"])
        values = role.call("GET", "secret/data/slipway/registry")["data"]["data"]
        role.call("POST", "auth/token/revoke-self")
    return values["username"], values["password"]


def registry_tags(host: str, repository: str, login: tuple[str, str] | None) -> list[str]:
    """All tags of a repository, none if it does not exist."""
    answer = patient.get(f"http://{host}/v2/{repository}/tags/list", auth=login)
    if answer.status_code == 404:
        return []
    return sorted(answer.raise_for_status().json()["tags"] or [])


def digest_of_tag(host: str, repository: str, tag: str, login: tuple[str, str] | None) -> str:
    """What a tag names."""
    accept = f"{OCI_MANIFEST}, {OCI_INDEX}"
    url = f"http://{host}/v2/{repository}/manifests/{tag}"
    answer = patient.head(url, auth=login, headers={"Accept": accept}).raise_for_status()
    return answer.headers["Docker-Content-Digest"]


def docker(address: str, path: str) -> Any:
    """GET of a Docker engine's API."""
    connection = http.client.HTTPConnection("docker", timeout=PATIENCE_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(address.removeprefix("docker://"))
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
