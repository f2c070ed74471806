"""A running relay before the stack's own Prefect server, and senders that sign as each forge does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import signal
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import patient
from tests.conftest import RunningStack
from tests.waiting import PATIENCE_S, looks
from tests.warm import Command, WarmStarter

SCHEMA = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "request": {
            "title": "request",
            "position": 0,
            "type": "object",
            "properties": {"source": {"type": "string"}, "ref": {"type": "string"}, "tag": {"type": "string"}},
            "additionalProperties": False,
        }
    },
    "required": ["request"],
}

# A commit for every push: each is news.
ZERO = "0" * 40


def commit_id() -> str:
    return secrets.token_hex(20)


@dataclass(frozen=True)
class Probe:
    """A deployment that no worker takes: what was started stays to be seen."""

    api: str
    name: str
    deployment_id: str

    def runs(self) -> list[dict[str, Any]]:
        """All runs, newest first."""
        query = {
            "deployments": {"id": {"any_": [self.deployment_id]}},
            "sort": "EXPECTED_START_TIME_DESC",
        }
        runs: list[dict[str, Any]] = self._post("/flow_runs/filter", query)
        return runs

    def runs_of(self, commit: str) -> list[dict[str, Any]]:
        """Those whose parameters name the commit."""
        return [run for run in self.runs() if commit in json.dumps(run["parameters"])]

    def events(self, repository: str) -> list[dict[str, Any]]:
        """The pushes of a repository that Prefect has heard of; it writes them down within a second or two."""
        query = {
            "filter": {"event": {"name": ["slipway.push"]}, "resource": {"id": [f"slipway.repository/{repository}"]}}
        }
        events: list[dict[str, Any]] = self._post("/events/filter", query)["events"]
        return events

    def wait_for_event(self, repository: str) -> dict[str, Any]:
        for _ in looks():
            if found := self.events(repository):
                return found[0]
        raise AssertionError(f"no event of {repository}")

    def _post(self, path: str, query: Mapping[str, Any]) -> Any:
        return patient.post(self.api + path, json=query).raise_for_status().json()


def make_deployment(api: str, flow: str, name: str, **more: Any) -> str:
    """A deployment without a work pool; its id."""
    flow_id = patient.post(f"{api}/flows/", json={"name": flow}).raise_for_status().json()["id"]
    made = patient.post(
        f"{api}/deployments/",
        json={
            "name": name,
            "flow_id": flow_id,
            "parameter_openapi_schema": SCHEMA,
            "enforce_parameter_schema": True,
            **more,
        },
    )
    return str(made.raise_for_status().json()["id"])


@pytest.fixture(scope="session")
def probe(stack: RunningStack) -> Probe:
    api = stack.connection.prefect_api_url
    return Probe(api, "relay-probe/any", make_deployment(api, "relay-probe", "any"))


@dataclass
class RunningRelay:
    """`secrets`: of each source, each in a file of its name in `secrets_folder`. `sent`: signatures and other parts of
    deliveries that no log may show."""

    command: Command
    url: str
    health_url: str
    secrets: Mapping[str, str]
    secrets_folder: Path
    sent: list[str] = field(default_factory=list)

    told_to_end: bool = False

    def end(self) -> None:
        """SIGTERM, once."""
        if not self.told_to_end:
            self.told_to_end = True
            self.command.signal(signal.SIGTERM)

    @property
    def log(self) -> str:
        return self.command._said

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def post(self, source: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        return patient.post(
            f"{self.url}/hooks/{source}",
            content=body,
            headers={"Content-Type": "application/json", **headers},
            trust_env=False,
            timeout=PATIENCE_S,
        )

    def post_until_taken(self, source: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Deliver as a forge does that tries again after a 503: SQLite is locked now and then."""
        for _ in range(10):
            answer = self.post(source, body, headers)
            if answer.status_code != 503:
                break
        return answer

    def github(self, document: Any, **headers: str) -> httpx.Response:
        """Deliver as GitHub does, rightly signed; headers replace its own."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.post("github", body, {**self.github_headers(body), **headers})

    def github_headers(self, body: bytes, secret: str | None = None) -> dict[str, str]:
        signature = "sha256=" + hex_hmac(secret or self.secrets["github"], body)
        self.sent.append(signature.removeprefix("sha256="))
        return {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": signature,
        }

    def generic(self, document: Any, *, age_s: float = 0.0, **headers: str) -> httpx.Response:
        """Deliver in the generic form, signed `age_s` seconds ago."""
        body = json.dumps(document).encode()
        made = standard_headers(self.secrets["generic"], body, time.time() - age_s)
        self.sent.append(made["webhook-signature"].removeprefix("v1,"))
        return self.post("generic", body, {**made, **headers})


def hex_hmac(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard_headers(secret: str, body: bytes, now: float, identity: str | None = None) -> dict[str, str]:
    """What Standard Webhooks puts beside a body."""
    identity, timestamp = identity or f"msg_{secrets.token_hex(8)}", str(int(now))
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": identity,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def github_push(commit: str, *, ref: str = "refs/heads/main", repository: str = "team/app", **more: Any) -> Any:
    """A push event as GitHub documents it, without what the relay does not look at."""
    return {
        "ref": ref,
        "before": commit_id(),
        "after": commit,
        "created": False,
        "deleted": False,
        "forced": False,
        "repository": {
            "id": 186853002,
            "full_name": repository,
            "html_url": f"https://git.example.com/{repository}",
            "clone_url": f"https://git.example.com/{repository}.git",
            "ssh_url": f"git@git.example.com:{repository}.git",
        },
        "pusher": {"name": "alice", "email": "alice@example.com"},
        "commits": [{"id": commit, "added": [], "removed": [], "modified": ["src/main.py", "docs/index.md"]}],
        **more,
    }


RULES = """
sources:
  - {{name: github, forge: github, secret: "file:{folder}/github"}}
  - {{name: gitlab, forge: gitlab, secret: "file:{folder}/gitlab"}}
  - {{name: gitlab-signed, forge: gitlab, secret: "file:{folder}/gitlab-signed"}}
  - {{name: gitea, forge: gitea, secret: "file:{folder}/gitea"}}
  - {{name: forgejo, forge: forgejo, secret: "file:{folder}/forgejo"}}
  - {{name: generic, forge: generic, secret: "file:{folder}/generic"}}
rules:
  - name: main
    repository: team/**
    branch: [main, release/*]
    path: ["**", "!docs/**"]
    deployment: relay-probe/any
    parameters: {{request: {{source: "{{{{ clone_url }}}}", ref: "{{{{ commit }}}}"}}}}
  - name: tags
    repository: team/**
    tag: "*"
    deployment: relay-probe/any
    parameters: {{request: {{source: "{{{{ clone_url }}}}", ref: "{{{{ commit }}}}", tag: "{{{{ tag }}}}"}}}}
  - name: nowhere
    repository: lost/app
    deployment: relay-probe/none
  - name: misfit
    repository: misfit/app
    deployment: relay-probe/any
    parameters: {{request: {{of: "{{{{ branch }}}}"}}}}
"""


@contextmanager
def running_relay(
    commands: WarmStarter, folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[RunningRelay]:
    """`slipway relay` with the rules above on a free port, ended by SIGTERM."""
    made = {name: secrets.token_urlsafe(24) for name in ("github", "gitlab", "gitea", "forgejo", "generic")}
    made["gitlab-signed"] = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    for name, secret in made.items():
        (folder / name).write_text(f"{secret}\n")
    rules = folder / "rules.yaml"
    if not rules.exists():
        rules.write_text(RULES.format(folder=folder))
    listen = ("--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0")
    command = commands.start("relay", *listen, "--rules", rules, *arguments, env=env)
    running = RunningRelay(command, "", "", made, folder)
    try:
        command.until("listening on")
        told = re.search(r"listening on (\S+), health on (\S+),", command._said)
        assert told is not None, command._said
        running.url, running.health_url = (f"http://{address}" for address in told.groups())
        yield running
    finally:
        running.end()
        ended = command.end()
        assert ended.code == 0, ended.stderr


@pytest.fixture(scope="module")
def relay(commands: WarmStarter, probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRelay]:
    with running_relay(commands, tmp_path_factory.mktemp("relay"), "--verbose") as running:
        yield running
