"""`slipway trigger` against the real server."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest
from prefect.client.orchestration import PrefectClient

from prefect_slipway.flows.run.starting import find_deployment, start_run
from tests import patient
from tests.faults import front
from tests.integration.relay.conftest import Probe, commit_id, make_deployment
from tests.releases import complaint
from tests.waiting import looks
from tests.warm import Ended, WarmStarter


def shown(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def test_a_run_is_started(commands: WarmStarter, probe: Probe) -> None:
    """Its id and page are printed; dotted parameters lead into the deployment's own values."""
    commit = commit_id()
    parameters = {"request": {"source": "https://example.com/app.git", "tag": "x"}}
    make_deployment(probe.api, "relay-probe", "defaults", parameters=parameters)
    ended = commands.run("trigger", "relay-probe/defaults", "--param", f"request.ref={commit}")
    assert ended.code == 0, ended.stderr
    first, second = ended.stdout.splitlines()
    identity = first.split()[1]
    assert first == f"run {identity} Scheduled"
    assert second.endswith(f"/flow-run/{identity}")
    run = patient.get(f"{probe.api}/flow_runs/{identity}").json()
    assert run["parameters"] == {"request": {"source": "https://example.com/app.git", "tag": "x", "ref": commit}}


def test_the_same_key_finds_the_same_run(commands: WarmStarter, probe: Probe) -> None:
    """A CI job that is run again starts nothing twice."""
    commit, key = commit_id(), str(uuid.uuid4())
    arguments = (
        *("trigger", probe.name, "--param", f"request:={json.dumps({'ref': commit})}"),
        *("--idempotency-key", key, "--format", "json"),
    )
    first, second = (shown(commands.run(*arguments)) for _ in range(2))
    assert (first["new"], second["new"]) == (True, False)
    assert first["run"] == second["run"]
    assert len(probe.runs_of(commit)) == 1


def test_a_failed_run_is_retried_if_asked_for(commands: WarmStarter, probe: Probe) -> None:
    """A CI job is run again because the run failed: by default it finds that run, and says how to start another. Only
    a run that failed has a successor, and just one."""
    commit, key = commit_id(), str(uuid.uuid4())
    arguments = ("trigger", probe.name, "--param", f"request.ref={commit}", "--idempotency-key", key)

    def started(*options: str) -> tuple[str, bool]:
        document = shown(commands.run(*arguments, *options, "--format", "json"))
        return document["run"], document["new"]

    def ends(run: str, state: str) -> None:
        state_of = {"state": {"type": state}, "force": True}
        patient.post(f"{probe.api}/flow_runs/{run}/set_state", json=state_of).raise_for_status()

    first, _ = started("--retry-failed")
    assert started("--retry-failed") == (first, False)  # it has not ended
    ends(first, "CRASHED")
    assert started() == (first, False)
    said = commands.run(*arguments).stdout.splitlines()[0]
    assert said == f"run {first} Crashed (started before with this key; start another with --retry-failed)"
    second, new = started("--retry-failed")
    assert new and second != first
    assert started("--retry-failed") == (second, False)
    ends(second, "CANCELLED")
    third, new = started("--retry-failed")
    assert new and third not in (first, second)
    ends(third, "COMPLETED")
    assert started("--retry-failed") == (third, False)
    assert len(probe.runs_of(commit)) == 3


def test_retries_need_a_key(commands: WarmStarter, probe: Probe) -> None:
    """Without one there is no run to find."""
    for options in ((probe.name,), ("--event", "x", "--idempotency-key", "y")):
        assert "--retry-failed needs a deployment and an --idempotency-key" in complaint(
            commands.run("trigger", *options, "--retry-failed"), 2
        )


def test_a_lost_answer_starts_nothing_twice(commands: WarmStarter, probe: Probe) -> None:
    """The run is there, and the request is sent again; a key of the user's is not needed."""
    commit = commit_id()
    with front(urlsplit(probe.api).netloc) as prefect:
        prefect.lose("POST", "/create_flow_run$", times=1)
        there = {"PREFECT_API_URL": f"http://{prefect.host}/api"}
        arguments = ("trigger", probe.name, "--param", f"request.ref={commit}", "--format", "json")
        document = shown(commands.run(*arguments, env=there))
        assert any(request.path.endswith("/create_flow_run") for request in prefect.seen)
    assert document["new"] is True
    assert [run["id"] for run in probe.runs_of(commit)] == [document["run"]]


async def test_a_parent_that_is_not_recorded_yet(probe: Probe) -> None:
    """A server records task runs from events, a busy one late. Until then it refuses a run that belongs to one."""
    commit, parent = commit_id(), str(uuid.uuid4())

    async def recorded() -> None:
        await asyncio.sleep(1)
        task = {"id": parent, "task_key": "gates", "dynamic_key": parent, "flow_run_id": None}
        answer = await asyncio.to_thread(patient.post, f"{probe.api}/task_runs/", json=task)
        answer.raise_for_status()

    async with PrefectClient(probe.api) as client:
        deployment = await find_deployment(client, probe.name)
        recording = asyncio.create_task(recorded())
        started = await start_run(client, deployment, {"request": {"ref": commit}}, parent=parent)
        await recording
    (run,) = probe.runs_of(commit)
    assert (run["id"], run["parent_task_run_id"]) == (started.run_id, parent)


@pytest.mark.parametrize(
    ("state", "message", "code"),
    [
        ("COMPLETED", "1.2.3 released", 0),
        ("FAILED", "DockerfileMissing: no Dockerfile", 1),
        ("CANCELLED", "by hand", 130),
    ],
)
def test_it_waits_for_the_end(commands: WarmStarter, probe: Probe, state: str, message: str, code: int) -> None:
    """The exit code is the run's, and its state's message is printed."""
    commit = commit_id()
    command = commands.start(
        "trigger",
        probe.name,
        "--param",
        f"request.ref={commit}",
        "--param",
        "request.tag=",
        "--wait",
        "--format",
        "json",
    )
    command.until("> Scheduled")
    [run] = probe.runs_of(commit)
    patient.post(
        f"{probe.api}/flow_runs/{run['id']}/set_state",
        json={"state": {"type": state, "message": message}, "force": True},
        trust_env=False,
    ).raise_for_status()
    ended = command.end()
    assert ended.code == code, ended.stderr
    document = json.loads(ended.stdout)
    assert (document["run"], document["message"]) == (run["id"], message)


def test_an_unknown_deployment(commands: WarmStarter, probe: Probe) -> None:
    """Near names are told."""
    said = complaint(commands.run("trigger", "relay-probe/any1"), 2)
    assert "no deployment has the name 'relay-probe/any1'" in said
    assert "Next: there is relay-probe/any" in said
    assert "no deployment has the name 'any'" in complaint(commands.run("trigger", "any"), 2)


def test_parameters_that_are_refused(commands: WarmStarter, probe: Probe) -> None:
    """By the deployment's schema, in the server's words; or because they cannot be read."""
    said = complaint(commands.run("trigger", probe.name, "--param", "request.ref:=5"), 2)
    assert "does not accept these parameters" in said
    assert "'request.ref'" in said
    said = complaint(commands.run("trigger", probe.name, "--param", 'request={"ref": "main"}'), 2)
    assert "Next: a value after = is text; write --param 'request:=…' for JSON" in said
    for text in ("request", "=x", "request.=x", "request:={", "a..b=1"):
        complaint(commands.run("trigger", probe.name, "--param", text), 2)


@pytest.mark.parametrize(
    ("param", "name", "meant"),
    [
        ("reqest.ref=main", "reqest", "request"),
        ("request.reff=main", "request.reff", "request.ref"),
        ("image=app", "image", None),
    ],
)
def test_a_misspelt_parameter(commands: WarmStarter, probe: Probe, param: str, name: str, meant: str | None) -> None:
    """The server would take it, and the run would crash without a cause: the name that is meant is told instead."""
    before = len(probe.runs())
    said = complaint(commands.run("trigger", probe.name, "--param", param), 2)
    assert said.startswith(f"the deployment any has no parameter {name!r}\nNext: ")
    assert f"Next: write {meant!r}" in said if meant else "Next: use one of request" in said
    assert len(probe.runs()) == before


def test_parameters_of_slipways_own_flows(commands: WarmStarter, probe: Probe) -> None:
    """The request's rules hold before there is a run, also where the deployment's schema does not know them."""
    ours = {"entrypoint": "prefect_slipway.flows.release.release", "parameter_openapi_schema": {}}
    make_deployment(probe.api, "relay-probe", "ours", **ours)
    said = complaint(commands.run("trigger", "relay-probe/ours", "--param", "request.version.exact=one"), 2)
    assert "does not accept these parameters" in said
    assert "'one'" in said
    said = complaint(commands.run("trigger", "relay-probe/ours", "--param", "request.ref=main"), 2)
    assert "`ref` is now `checkout.ref`" in said


def test_a_flow_that_takes_any_parameter(commands: WarmStarter, probe: Probe) -> None:
    """`**kwargs`, as Prefect writes it down, and a deployment without a schema."""
    anything = {"position": 0, "type": "object", "title": "more", "additionalProperties": True, "default": {}}
    for name, schema in (("kwargs", {"type": "object", "properties": {"more": anything}}), ("schemaless", {})):
        make_deployment(probe.api, "relay-probe", name, parameter_openapi_schema=schema)
        assert shown(commands.run("trigger", f"relay-probe/{name}", "--param", "any=thing", "--format", "json"))["new"]


def test_an_event(commands: WarmStarter, probe: Probe) -> None:
    """It reaches Prefect with its payload; the same key is the same event."""
    name, subject = f"ci.tested.{uuid.uuid4().hex[:8]}", "team/app"
    arguments = ("trigger", "--event", name, "--subject", subject, "--param", "passed:=true", "--idempotency-key", name)
    first, second = (shown(commands.run(*arguments, "--format", "json")) for _ in range(2))
    assert first == second
    query = {"filter": {"event": {"name": [name]}}}
    for _ in looks():
        found = patient.post(f"{probe.api}/events/filter", json=query).json()["events"]
        if found:
            break
    [event] = found
    assert event["id"] == first["id"]
    assert event["payload"] == {"passed": True}
    assert event["resource"]["prefect.resource.id"] == f"slipway.trigger/{subject}"


def test_one_of_both(commands: WarmStarter) -> None:
    """A deployment or an event."""
    complaint(commands.run("trigger"), 2)
    complaint(commands.run("trigger", "a/b", "--event", "x"), 2)
    complaint(commands.run("trigger", "--event", "x", "--wait"), 2)
