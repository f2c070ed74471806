"""A push to a monorepo: one rule and one deployment, whose run releases what the push changed."""

from __future__ import annotations

import json
import secrets
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.conftest import Run, RunningStack
from tests.git_repository import commit, git, make_bare, make_repository
from tests.git_server import serve_git
from tests.integration.relay.conftest import standard_headers
from tests.integration.worker.conftest import worker
from tests.ports import free_port
from tests.prefect_server import PrefectServer
from tests.releases import BASE, make_source
from tests.waiting import looks
from tests.warm import WarmStarter

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def monorepo(tmp_path: Path) -> Iterator[tuple[str, Path, str]]:
    """A repository on a git server with three components, each released once: name, clone, address."""
    name = f"mono-{uuid.uuid4().hex[:8]}"
    clone = make_repository(tmp_path / name, {"slipway.toml": "[components.a]\n[components.b]\n[components.c]\n"})
    for each in "abc":
        make_source(clone / each, BASE)
    commit(clone, "feat: three components", {})
    for each in "abc":
        git(clone, "tag", f"{each}/v1.0.0")
    bare = make_bare(tmp_path / "served" / f"{name}.git", clone)
    git(bare, "config", "http.receivepack", "true")
    git(clone, "remote", "add", "origin", str(bare))
    with serve_git(tmp_path / "served") as served:
        yield name, clone, served.url(bare.name)


@pytest.mark.usefixtures("registered")
def test_a_push_releases_what_it_changed(
    slipway: Run,
    commands: WarmStarter,
    stack: RunningStack,
    server: PrefectServer,
    monorepo: tuple[str, Path, str],
    tmp_path: Path,
) -> None:
    """Of three components two changed: the push starts one run, which releases the two; the next push, the third."""
    name, clone, url = monorepo
    stanza = {
        "name": name,
        "entrypoint": "prefect_slipway.flows.release.release",
        "work_pool": {"name": "slipway"},
        "parameters": {"request": {"source": url}},
    }
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [stanza]}))
    done = slipway("deploy-flows", "--file", tmp_path / "prefect.yaml", "--only", "deployments")
    assert done.returncode == 0, done.stderr
    secret, port = secrets.token_urlsafe(24), free_port()
    (tmp_path / "secret").write_text(secret)
    rules = {
        "sources": [{"name": "generic", "forge": "generic", "secret": f"file:{tmp_path / 'secret'}"}],
        "rules": [{"name": "all", "repository": f"team/{name}", "branch": ["main"], "deployment": f"release/{name}"}],
    }
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    listen = ("--listen", f"127.0.0.1:{port}", "--health-listen", "127.0.0.1:0")
    relay = commands.start("relay", *listen, "--rules", tmp_path / "rules.yaml")
    relay.until("listening on")

    def push(message: str, *names: str) -> str:
        """Push, and deliver that as a forge does; the run that it started."""
        revision = commit(clone, message, {f"{each}/more": message for each in names})
        git(clone, "push", "--quiet", "origin", "main")
        document = {"repository": f"team/{name}", "ref": "refs/heads/main", "after": revision, "clone_url": url}
        body = json.dumps(document).encode()
        for _ in looks():
            headers = {"Content-Type": "application/json", **standard_headers(secret, body, time.time())}
            answer = httpx.post(f"http://127.0.0.1:{port}/hooks/generic", content=body, headers=headers, timeout=60)
            if answer.status_code != 503:
                break
        (run,) = answer.raise_for_status().json()["runs"]
        return str(run["run"])

    try:
        with worker(stack.env, tmp_path / "worker"):
            for message, names, expected in (
                ("fix: two of them", ("a", "b"), {"a/v1.0.1", "b/v1.0.1"}),
                ("feat: the third", ("c",), {"a/v1.0.1", "b/v1.0.1", "c/v1.1.0"}),
            ):
                run = push(message, *names)
                end = server.end(run)
                assert end["type"] == "COMPLETED", end
                assert f"{len(names)} released of 3 components" in end["message"]
                tags = set(git(clone, "ls-remote", "--tags", "origin", "*/v1.[01].[01]").split("refs/tags/")[1:])
                assert {tag.strip().split("\n")[0] for tag in tags} >= expected
                below = server.ask("POST", "/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}})
                assert len(below) == len(names) and {one["state_type"] for one in below} == {"COMPLETED"}
    finally:
        relay.signal(signal.SIGTERM)
        relay.end()
