"""Releases by deployment, through a real server and worker: one application at a time, and on a schedule."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from prefect_slipway.flows.reporting.artifact_keys import history_key
from prefect_slipway.infra.registry.model import OCI_MANIFEST
from tests.conftest import Run, RunningStack
from tests.git_repository import commit, git, make_bare
from tests.git_server import serve_git
from tests.integration.worker.conftest import worker
from tests.prefect_server import FINAL, PrefectServer
from tests.releases import BASE, Traces, make_source, registry_login, run_line

# A schedule and a turn in a queue are waited for.
pytestmark = pytest.mark.timeout(420)

_SCHEDULED_IN = timedelta(seconds=20)


@pytest.fixture
def application(tmp_path: Path) -> Iterator[tuple[str, str, Path]]:
    """Name, address and repository of an application on a git server."""
    name = f"app-{uuid.uuid4().hex[:8]}"
    source = make_source(tmp_path / name)
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: begin", {})
    repository = make_bare(tmp_path / "served" / f"{name}.git", source)
    git(repository, "config", "http.receivepack", "true")
    with serve_git(tmp_path / "served") as served:
        yield name, served.url(f"{name}.git"), repository


def register(slipway: Run, folder: Path, stanza: Mapping[str, object]) -> None:
    """The deployment of an application, as its people write it down."""
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump({"deployments": [stanza]}))
    done = slipway("deploy-flows", "--file", file, "--only", "deployments", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert [one["outcome"] for one in json.loads(done.stdout)] == ["created"]


@pytest.mark.usefixtures("registered")
def test_an_application_is_released_in_turn_and_on_schedule(
    slipway: Run,
    stack: RunningStack,
    server: PrefectServer,
    traces: Traces,
    application: tuple[str, str, Path],
    tmp_path: Path,
) -> None:
    """Two runs asked for at once run one after the other: the commit has its version, and neither the second nor a
    scheduled run makes another; both are successes that say so. The UI shows image and version, the worker leaves no
    process, and nothing else is left.
    """
    name, url, repository = application
    stanza = {
        "name": name,
        "entrypoint": "prefect_slipway.flows.release.release",
        "work_pool": {"name": "slipway"},
        "tags": ["slipway", f"app:{name}"],
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "parameters": {"request": {"source": url}},
    }
    register(slipway, tmp_path, stanza)
    with worker(stack.env, tmp_path / "worker", "--limit", "2") as process:
        both = [server.start(f"release/{name}", {"source": url}) for _ in range(2)]
        ends = [server.end(run) for run in both]
        assert [end["type"] for end in ends] == ["COMPLETED", "COMPLETED"], ends
        runs = sorted((server.ask("GET", f"/flow_runs/{run}") for run in both), key=lambda run: str(run["start_time"]))
        assert runs[0]["end_time"] <= runs[1]["start_time"], "they ran at the same time"
        assert "AwaitingConcurrencySlot" in server.states_of(runs[1]["id"])
        assert [run["name"] for run in runs] == [f"release {name} 0.1.0", f"release {name}: nothing to release"]
        assert {"slipway", f"app:{name}", f"image:{name}", "version:0.1.0"} <= set(runs[0]["tags"])

        first = datetime.now(UTC) + _SCHEDULED_IN
        schedule = {
            "slug": "soon",
            "interval": 86400,
            "anchor_date": first.isoformat(),
            "parameters": {"request": {"source": url, "bump": "auto", "version": {"only_new": True}}},
        }
        scheduled = {**stanza, "name": f"{name}-nightly", "schedules": [schedule]}
        register(slipway, tmp_path, scheduled)
        server.until(lambda: any(_over(run) for run in server.runs_of(f"release/{name}-nightly")))
        (over,) = filter(_over, server.runs_of(f"release/{name}-nightly"))
        assert over["state"]["type"] == "COMPLETED", over["state"]
        assert "nothing" in over["state"]["message"] or "no commit" in over["state"]["message"], over["state"]
        assert over["auto_scheduled"] is True
        children = process.children(recursive=True)
    assert not [child for child in children if child.is_running()]
    server.ask("DELETE", f"/deployments/{over['deployment_id']}")
    assert traces.tags(name) == ["0.1.0"]
    refs = git(repository, "for-each-ref", "--format=%(refname)").split()
    assert refs == ["refs/heads/main", "refs/tags/v0.1.0"]
    traces.assert_nothing_left()
    shutil.rmtree(tmp_path / "served")


@pytest.mark.usefixtures("registered")
def test_a_run_of_a_deployment_leads_on(
    slipway: Run,
    stack: RunningStack,
    server: PrefectServer,
    traces: Traces,
    application: tuple[str, str, Path],
    tmp_path: Path,
) -> None:
    """Its page and its report have links to commit, versions and deployment; where it failed, none to the versions."""
    name, url, repository = application
    # libcurl finds every name in .localhost on this machine (RFC 6761, 6.3); a forge is told by its host's name.
    url = url.replace("127.0.0.1", "gitea.localhost")
    parameters = {"request": {"source": url}}
    stanza = {"name": name, "entrypoint": "prefect_slipway.flows.release.release", "work_pool": {"name": "slipway"}}
    register(slipway, tmp_path, {**stanza, "parameters": parameters})
    deployment = server.ask("GET", f"/deployments/name/release/{name}")["id"]
    pages = {"Deployment": (name, f"{stack.connection.prefect_ui_url}/deployments/deployment/{deployment}")}
    with worker(stack.env, tmp_path / "worker"):
        released = server.start(f"release/{name}", {"source": url})
        assert server.end(released)["type"] == "COMPLETED", server.state(released)
        commits = git(repository, "rev-parse", "main").split()
        work = tmp_path / name
        commit(work, "feat: broken", {"Dockerfile": "FROM scratch\nCOPY absent /\n"})
        git(work, "push", "--quiet", str(repository), "main")
        failed = server.start(f"release/{name}", {"source": url})
        assert server.end(failed)["type"] == "FAILED", server.state(failed)
        commits += git(repository, "rev-parse", "main").split()
    at = url.removesuffix(".git").replace("http:", "https:")
    image = f"{stack.connection.registry}/{name}"
    history = f"{stack.connection.prefect_ui_url}/artifacts/key/{history_key(image)}"
    of_commits = [{"Commit": (revision[:12], f"{at}/commit/{revision}")} for revision in commits]
    assert _links_of(server, released) == {**pages, "Versions": (image, history), **of_commits[0]}
    assert _links_of(server, failed) == {**pages, **of_commits[1]}
    for run in (released, failed):
        (report,) = [one["data"] for one in _artifacts(server, run) if str(one["key"]).startswith("release-")]
        for what, (text, page) in _links_of(server, run).items():
            assert f"| {what.lower()} | [{text}](<{page}>) |" in report
    traces.assert_nothing_left()


@pytest.mark.usefixtures("registered")
def test_a_deployment_says_how_to_build(
    slipway: Run, stack: RunningStack, server: PrefectServer, traces: Traces, tmp_path: Path
) -> None:
    """Contexts, annotations, compression, hosts, limits, attestations, caches and outputs, as on the command line; what
    they use of the worker's machine must be allowed."""
    name = f"app-{uuid.uuid4().hex[:8]}"
    source = make_source(
        tmp_path / name,
        BASE
        + "COPY --from=data /word /word\n"
        + run_line("grep -q '10.0.0.9.*db.test' /etc/hosts && ulimit -n > /limit"),
    )
    (source / "more").mkdir()
    (source / "more" / "word").write_text("hello\n")
    build = {
        "contexts": {"data": "more"},
        "annotations": ["com.example.by=deployment"],
        "compression": "zstd",
        "force_compression": True,
        "oci_media_types": True,
        "add_hosts": ["db.test:10.0.0.9"],
        "ulimits": ["nofile=77"],
        "pull": True,
        "provenance": "min",
        "outputs": [f"type=local,dest={tmp_path / 'files'}"],
        "cache_to": [f"type=local,dest={tmp_path / 'cache'}"],
    }
    request = {"source": str(source), "build": build}
    with worker(stack.env, tmp_path / "worker"):
        refused = server.start("release/any-source", request)
        assert server.end(refused)["type"] == "FAILED"
        assert "fs.write=" in server.state(refused)["message"]
        allowed = {**request, "build": {**build, "allow": [f"fs.write={tmp_path}"]}}
        released = server.start("release/any-source", allowed)
        assert server.end(released)["type"] == "COMPLETED", server.state(released)
    shown = slipway("inspect", name, "--format", "json")
    assert shown.returncode == 0, shown.stderr
    image = json.loads(shown.stdout)
    (platform,) = image["platforms"]
    assert [each["type"].rpartition("/")[0] for each in platform["attestations"]] == ["https://slsa.dev/provenance"]
    with httpx.Client(auth=registry_login(stack.connection), trust_env=False) as client:
        where = f"http://{stack.connection.registry}/v2/{name}/manifests/{platform['digest']}"
        manifest = client.get(where, headers={"Accept": OCI_MANIFEST}).json()
    assert manifest["annotations"]["com.example.by"] == "deployment"
    assert all(layer["mediaType"].endswith("+zstd") for layer in manifest["layers"])
    assert (tmp_path / "files" / "word").read_text() == "hello\n"
    assert (tmp_path / "files" / "limit").read_text() == "77\n"
    assert (tmp_path / "cache" / "index.json").is_file()
    traces.assert_nothing_left()


@pytest.mark.usefixtures("registered")
def test_a_run_has_a_name_before_a_worker_takes_it_and_a_report_of_refused_parameters(
    slipway: Run, stack: RunningStack, server: PrefectServer, tmp_path: Path
) -> None:
    """What `slipway trigger` starts is named by its request at once. Parameters that only the flow can check end the
    run before it begins: name, state and report say so, in Slipway's words."""
    name = f"app-{uuid.uuid4().hex[:8]}"
    stanza = {
        "name": name,
        "entrypoint": "prefect_slipway.flows.release.release",
        "work_pool": {"name": "slipway"},
        "parameters": {"request": {"source": "/no/such", "image": f"r.example/team/{name}"}},
    }
    register(slipway, tmp_path, stanza)
    started = slipway("trigger", f"release/{name}", "--format", "json")
    assert started.returncode == 0, started.stderr
    waiting = json.loads(started.stdout)["run"]
    assert server.ask("GET", f"/flow_runs/{waiting}")["name"] == f"release team/{name}"
    refused = server.start(f"release/{name}", {"source": "/no/such", "version": {"exact": "one"}})
    with worker(stack.env, tmp_path / "worker"):
        assert [server.end(run)["type"] for run in (waiting, refused)] == ["FAILED", "FAILED"]
        # What never began is reported when its state is known.
        server.until(lambda: bool(_reports(server, refused)))
    assert "SourceMissing" in server.state(waiting)["message"]
    assert "'one' is not a semantic version\nNext: use MAJOR.MINOR.PATCH" in server.state(refused)["message"]
    assert "pydantic" not in server.state(refused)["message"]
    assert server.ask("GET", f"/flow_runs/{refused}")["name"] == f"release {name}: parameters refused"
    for run, title in (
        (waiting, f"team/{name} was not released"),
        (refused, f"release {name} did not start: its parameters were refused"),
    ):
        (report,) = _reports(server, run)
        assert report.startswith(f"# {title}\n")
        assert "\nNext: " in report
        assert f"| deployment | [{name}](" in report


def _reports(server: PrefectServer, run: str) -> list[str]:
    return [one["data"] for one in _artifacts(server, run) if one["type"] == "markdown" and one["key"]]


def _artifacts(server: PrefectServer, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ask(
        "POST", "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}}
    )
    return found


def _links_of(server: PrefectServer, run: str) -> dict[str, tuple[str, str]]:
    """Text and address of each link on a run's page, by what it says it leads to."""
    links = [one for one in _artifacts(server, run) if "](" in str(one["data"]) and one["key"] is None]
    found = {}
    for one in links:
        match = re.fullmatch(r"\[(.*)\]\((.*)\)", str(one["data"]))
        assert match is not None, one
        found[str(one["description"])] = (match[1], match[2])
    assert len(found) == len(links)
    return found


def _over(run: dict[str, object]) -> bool:
    return run["state_type"] in FINAL
