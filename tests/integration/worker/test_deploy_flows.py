"""`slipway deploy-flows`: what it registers, that it changes nothing the second time, and plain Prefect beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from prefect_slipway.flows.registration.files import PREFECT_FILE
from tests.conftest import Run, RunningStack
from tests.integration.worker.receiver import notifying
from tests.prefect_server import PrefectServer
from tests.waiting import PATIENCE_S

Outcomes = dict[tuple[str, str], tuple[str, list[str]]]


def register(slipway: Run, *options: str | Path) -> Outcomes:
    """What became of each thing, by kind and name."""
    done = slipway("deploy-flows", "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    return {(one["kind"], one["name"]): (one["outcome"], one["changes"]) for one in json.loads(done.stdout)}


def own_file(folder: Path, **changes: Any) -> Path:
    """A prefect.yaml of one's own with one deployment, as docs/guides/automation.md tells to write it."""
    stanza = {
        "name": "mine",
        "entrypoint": "prefect_slipway.flows.release.release",
        "work_pool": {"name": "slipway"},
        "tags": ["slipway", "team"],
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "parameters": {"request": {"source": "{{ $HOME_OF_MINE }}", "image": "registry.example.com/mine"}},
        "schedules": [{"slug": "daily", "interval": 86400, "active": False}],
        "triggers": [
            {
                "enabled": False,
                "expect": ["slipway.push"],
                "match": {"prefect.resource.name": "team/mine"},
                "parameters": {"request": {"source": ".", "checkout": {"ref": "{{ event.payload.sha }}"}}},
            }
        ],
    }
    path = folder / "prefect.yaml"
    path.write_text(yaml.safe_dump({"deployments": [stanza | changes]}))
    return path


EVERYTHING = ("--samples", "--pool", "slipway", "--pool", "slipway-kubernetes")


def test_registering_again_changes_nothing(slipway: Run) -> None:
    """All of it is there after the first time; the second time each thing is unchanged."""
    register(slipway, *EVERYTHING)
    again = register(slipway, *EVERYTHING)
    assert {outcome for outcome, _ in again.values()} == {"unchanged"}, again
    assert {
        ("work pool", "slipway"),
        ("work pool", "slipway-kubernetes"),
        ("block type", "slipway-vault"),
        ("deployment", "release/example"),
        ("deployment", "release/any-source-in-cluster"),
        ("automation", "Slipway: dead runs are Crashed"),
        ("automation", "Slipway: dead runs are Crashed in the end"),
        ("block", "custom-webhook/slipway-notify"),
    } <= again.keys()


def test_what_nobody_serves_and_nobody_asked_for_is_left_out(slipway: Run, server: PrefectServer) -> None:
    """No pool for a cluster where no worker serves one, so no runs that are Late for ever; no samples. A schedule that
    an earlier registration turned on there is turned off; with a worker it is on."""
    register(slipway, *EVERYTHING)
    assert schedules(server, "sweep/expired-runs-in-cluster") == [True]
    done = register(slipway)
    assert done["work pool", "slipway-kubernetes"][0] == "left out"
    assert done["deployment", "sweep/expired-runs-in-cluster"] == ("updated", ["schedules"])
    assert schedules(server, "sweep/expired-runs-in-cluster") == [False]
    named = {name for _, name in done}
    assert {"release/any-source", "check-bases/base-images"} <= named
    assert not {"release/example", "release/any-source-in-cluster", "custom-webhook/slipway-notify"} & named
    assert ("deployment", "sweep/expired-runs-in-cluster") not in register(slipway)
    server.ask("POST", "/work_pools/slipway-kubernetes/workers/heartbeat", {"name": "in the cluster"})
    try:
        assert register(slipway)["deployment", "sweep/expired-runs-in-cluster"] == ("updated", ["schedules"])
        assert schedules(server, "sweep/expired-runs-in-cluster") == [True]
    finally:
        server.ask("DELETE", "/work_pools/slipway-kubernetes/workers/in%20the%20cluster")
        register(slipway)


def test_an_earlier_name_sweeps_no_more(slipway: Run, server: PrefectServer, tmp_path: Path) -> None:
    """A deployment of before the shipped ones said what they are for stays, without its schedule."""
    entrypoint = "prefect_slipway.flows.sweep.sweep"
    on = {"slug": "quarter-hourly", "cron": "*/15 * * * *", "active": True}
    before = own_file(tmp_path, name="local", entrypoint=entrypoint, parameters={"request": {}}, schedules=[on])
    register(slipway, "--file", before, "--only", "deployments")
    assert schedules(server, "sweep/local") == [True]
    assert register(slipway)["deployment", "sweep/local"] == ("updated", ["schedules"])
    assert schedules(server, "sweep/local") == [False]
    assert ("deployment", "sweep/local") not in register(slipway)


def schedules(server: PrefectServer, deployment: str) -> list[bool]:
    """Which are on."""
    return [one["active"] for one in server.ask("GET", f"/deployments/name/{deployment}")["schedules"]]


def test_prefects_own_command_registers_the_same(slipway: Run, stack: RunningStack) -> None:
    """`prefect deploy --all`, in deployments/ and from above, and then there is nothing left for Slipway to change."""
    register(slipway, *EVERYTHING)
    env = {
        **stack.env,
        "PREFECT_API_URL": stack.connection.prefect_api_url,
        "PREFECT_HOME": str(stack.connection.home / "prefect-client"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    prefect = [sys.executable, "-m", "prefect", "--no-prompt", "deploy"]
    named = [*prefect, "--name", "any-source", "--prefect-file", "deployments/prefect.yaml"]
    for command, folder in (([*prefect, "--all"], PREFECT_FILE.parent), (named, PREFECT_FILE.parents[1])):
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "release/any-source" in done.stdout
    again = register(slipway, "--only", "deployments", *EVERYTHING)
    assert {outcome for outcome, _ in again.values()} == {"unchanged"}, again


def test_a_file_of_ones_own(slipway: Run, server: PrefectServer, tmp_path: Path) -> None:
    """Created, unchanged, and after an edit updated in just what was edited; the environment fills its templates."""
    mine = {("deployment", "release/mine")}
    file = own_file(tmp_path)

    def again(path: Path) -> tuple[str, list[str]]:
        done = slipway(
            "deploy-flows", "--file", path, "--only", "deployments", "--format", "json", env={"HOME_OF_MINE": "/srv"}
        )
        assert done.returncode == 0, done.stderr
        (one,) = json.loads(done.stdout)
        assert (one["kind"], one["name"]) in mine
        return one["outcome"], one["changes"]

    register(slipway, "--only", "pools")
    assert again(file) == ("created", [])
    assert again(file) == ("unchanged", [])
    made = server.ask("GET", "/deployments/name/release/mine")
    assert made["parameters"]["request"]["source"] == "/srv"
    assert made["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert again(own_file(tmp_path, tags=["slipway"])) == ("updated", ["tags"])
    assert again(own_file(tmp_path, tags=["slipway"], triggers=[])) == ("updated", ["triggers"])
    assert server.ask("GET", f"/automations/related-to/prefect.deployment.{made['id']}") == []
    more = [{"slug": "daily", "cron": "0 6 * * *", "timezone": "Europe/Berlin"}]
    assert again(own_file(tmp_path, tags=["slipway"], triggers=[], schedules=more)) == ("updated", ["schedules"])
    assert again(own_file(tmp_path, tags=["slipway"], triggers=[], schedules=more)) == ("unchanged", [])


def test_switches_and_saved_blocks_are_peoples(slipway: Run, server: PrefectServer) -> None:
    """An automation that somebody turned on and a block that somebody edited stay so."""
    register(slipway, "--only", "automations", "--samples")
    query = {"automations": {"name": {"any_": ["Slipway: report failures"]}}}
    (automation,) = server.ask("POST", "/automations/filter", query)
    server.ask("PATCH", f"/automations/{automation['id']}", {"enabled": True})
    again = register(slipway, "--only", "automations", "--samples")
    assert {outcome for outcome, _ in again.values()} == {"unchanged"}
    assert server.ask("GET", f"/automations/{automation['id']}")["enabled"] is True
    server.ask("PATCH", f"/automations/{automation['id']}", {"enabled": False})


def test_what_went_wrong_is_said(slipway: Run, server: PrefectServer) -> None:
    """The notification example, turned on with an address of one's own: cause and run, as JSON."""
    register(slipway, "--pool", "slipway", "--samples")
    with notifying(server) as heard:
        for cause in ("first", "second"):
            run = server.start("sweep/expired-runs", {})
            state = {"type": "FAILED", "name": "Failed", "message": f"the {cause} cause"}
            server.ask("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})
            # An automation that was just turned on may miss what happens in its first moment.
            with suppress(AssertionError):
                server.until(lambda: bool(heard.said))
                break
    assert heard.said, "nothing was said"
    assert "Failed" in heard.said[0]["subject"]
    assert "cause" in heard.said[0]["text"]


def test_the_form_has_fields_with_help(slipway: Run, server: PrefectServer) -> None:
    """Each deployment's parameters are its flow's request model, every field described."""
    done = register(slipway, "--pool", "slipway")
    names = [name for kind, name in done if kind == "deployment" and not name.endswith("/local")]
    assert len(names) == 7
    for flow in names:
        schema = server.ask("GET", f"/deployments/name/{flow}")["parameter_openapi_schema"]
        assert schema["properties"].keys() == {"request"}, flow
        model = schema["properties"]["request"]["$ref"].rpartition("/")[2]
        fields = schema["definitions"][model]["properties"]
        assert fields
        assert all(field.get("description") for field in fields.values()), flow


def test_what_is_wrong_in_the_file_is_said(slipway: Run, tmp_path: Path) -> None:
    """A usage error in one sentence."""
    file = own_file(tmp_path, entrypoint="flows/release.py:release")
    done = slipway("deploy-flows", "--file", file, "--only", "deployments")
    assert done.returncode == 2
    assert done.stderr.startswith("slipway: the entrypoint 'flows/release.py:release' is not a module path\nNext: ")


def test_the_request_of_an_earlier_version_is_told_its_new_form(slipway: Run, tmp_path: Path) -> None:
    """Before it is registered, by the deployment that has it."""
    file = own_file(tmp_path, parameters={"request": {"source": ".", "ref": "main", "builder": "kubernetes"}})
    done = slipway("deploy-flows", "--file", file, "--only", "deployments")
    assert done.returncode == 2
    assert done.stderr.startswith("slipway: the deployment 'mine': the request has the fields of an earlier version: ")
    assert "`ref` is now `checkout.ref`, `builder` is now `builder.address`" in done.stderr


def test_a_server_that_is_not_there_is_said(slipway: Run) -> None:
    """Which server, and what to do."""
    done = slipway("deploy-flows", env={"PREFECT_API_URL": "http://127.0.0.1:9/api"})
    assert done.returncode == 1
    assert done.stderr.startswith("slipway: the Prefect server 127.0.0.1:9 does not answer: connection refused\nNext: ")
