"""What `deployments/` holds: entrypoints that import, templates that are Prefect's own but for what we say."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.flow_engine import MINIMUM_HEARTBEAT_INTERVAL
from prefect.settings import Settings
from prefect.workers.process import ProcessWorker

import prefect_slipway
from prefect_slipway.flows.registration.deployments import Wanted, read_stanzas
from prefect_slipway.flows.registration.files import (
    PREFECT_FILE,
    SAMPLES,
    SHIPPED,
    Pool,
    automation_files,
    read_yaml,
    shipped_pools,
)
from prefect_slipway.flows.request import of_flows
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.recorded_parameters import request_models
from prefect_slipway.flows.server.entrypoint import load_flow
from prefect_slipway.infra.domain.errors import InvalidOption

HEARTBEAT_S = 30
# What is promised: a server may be away for that long, and a dead run is known after that long.
AWAY_S = 60
KNOWN_WITHIN_S = 120


@pytest.fixture(scope="module")
def nobody() -> PrefectClient:
    """A server that is not there: these files hold no template that would need one."""
    return PrefectClient("http://127.0.0.1:9/api")


@pytest.fixture(scope="module")
def shipped(nobody: PrefectClient) -> dict[str, Wanted]:
    return {one.full_name: one for one in asyncio.run(read_stanzas(nobody, read_yaml(PREFECT_FILE)))}


@pytest.fixture(scope="module")
def samples(nobody: PrefectClient) -> dict[str, Wanted]:
    return {one.full_name: one for one in asyncio.run(read_stanzas(nobody, read_yaml(SAMPLES / "prefect.yaml")))}


async def read_one(nobody: PrefectClient, **changes: Any) -> Wanted:
    stanza = {
        "name": "mine",
        "entrypoint": "prefect_slipway.flows.sweep.sweep",
        "work_pool": {"name": "slipway"},
        **changes,
    }
    (wanted,) = await read_stanzas(nobody, {"deployments": [stanza]})
    return wanted


def test_every_entrypoint_imports(shipped: dict[str, Wanted], samples: dict[str, Wanted]) -> None:
    """A flow whose import fails would still be registered by Prefect, and fail at its first run."""
    flows = {name.partition("/")[0] for name in shipped}
    assert {"release", "deploy", "promote", "rollback", "sweep", "check-bases"} <= flows
    for one in (*shipped.values(), *samples.values()):
        assert load_flow(one.values["entrypoint"]).name == one.flow


def test_the_request_of_each_flow_is_known_without_it(shipped: dict[str, Wanted]) -> None:
    """`slipway trigger` checks parameters without Prefect."""
    for entrypoint in {one.values["entrypoint"] for one in shipped.values()}:
        assert of_flows.request_models(entrypoint) == request_models(load_flow(entrypoint).fn), entrypoint


def test_each_pool_has_its_deployments(shipped: dict[str, Wanted]) -> None:
    """The same for both, told apart by their names alone; their runs bear the tag that the automations look for."""
    here, there = (
        {one.name: one.flow for one in shipped.values() if one.values["work_pool_name"] == pool}
        for pool in ("slipway", "slipway-kubernetes")
    )
    assert {"release", "deploy", "promote", "rollback", "sweep", "check-bases", "dashboard"} == set(here.values())
    assert there == {f"{name}-in-cluster": flow for name, flow in here.items()}
    assert len(here) + len(there) == len(shipped)
    assert all("slipway" in one.values["tags"] for one in shipped.values())
    assert {one.values["work_pool_name"] for one in shipped.values()} == {pool.name for pool in shipped_pools()}


def test_code_is_installed_and_not_pulled(shipped: dict[str, Wanted]) -> None:
    assert all(one.values["pull_steps"] == [] for one in shipped.values())


def test_nothing_starts_by_surprise(shipped: dict[str, Wanted], samples: dict[str, Wanted]) -> None:
    """One schedule of each kind, all off but the sweep where a cluster is sure to be; the chain is off, too."""
    kinds = [kind for one in samples["release/example"].schedules for kind in type(one.schedule).model_fields]
    assert {"cron", "interval", "rrule"} <= set(kinds)
    both = {**shipped, **samples}
    on = [name for name, one in both.items() if any(schedule.active for schedule in one.schedules)]
    assert on == ["sweep/expired-runs-in-cluster"]
    (chain,) = samples["deploy/example"].triggers
    assert chain.enabled is False
    assert chain.expect == {"slipway.image.released"}  # type: ignore[union-attr]


def test_an_application_is_released_in_turn_and_a_sweep_not_twice(
    shipped: dict[str, Wanted], samples: dict[str, Wanted]
) -> None:
    """A release that waits stands for a commit of its own; a second sweep would do the same again."""
    for one, strategy in (
        (samples["release/example"], "ENQUEUE"),
        (shipped["sweep/expired-runs-in-cluster"], "CANCEL_NEW"),
    ):
        assert one.values["concurrency_limit"] == 1
        assert one.values["concurrency_options"] == {"collision_strategy": strategy}


def test_no_sample_is_among_what_is_shipped(shipped: dict[str, Wanted], samples: dict[str, Wanted]) -> None:
    """Whoever registers Slipway's deployments gets none of an application that is not theirs."""
    assert samples
    assert not [name for name in shipped if "example" in name or "example" in str(shipped[name].values["parameters"])]
    assert not shipped.keys() & samples.keys()


def test_the_process_pool_is_prefects_own_but_for_two_defaults() -> None:
    """Heartbeats, patience and log of our code by the environment, and no pipe that dies with the worker."""
    wanted = ProcessWorker.get_default_base_job_template()
    variables = wanted["variables"]["properties"]
    variables["stream_output"]["default"] = False
    variables["env"]["default"] = {
        "PREFECT_CLIENT_MAX_RETRIES": "6",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_LOGGING_EXTRA_LOGGERS": prefect_slipway.__name__,
    }
    (pool,) = (one for one in shipped_pools() if one.name == "slipway")
    assert pool == Pool("slipway", "process", wanted)


def test_runs_of_every_pool_send_the_heartbeats_that_are_waited_for() -> None:
    """A server that is away for a minute takes no living run for dead: a run looks for it after each heartbeat, so what
    arrives is a heartbeat before the outage, and the first one after it. A dead run is known within two minutes.
    """
    for pool in shipped_pools():
        env = pool.template["variables"]["properties"]["env"]["default"]
        assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_S) == str(MINIMUM_HEARTBEAT_INTERVAL)
    trigger = automations()["Slipway: dead runs are Crashed"].trigger
    assert isinstance(trigger, EventTrigger)
    between = timedelta(seconds=HEARTBEAT_S) + timedelta(seconds=AWAY_S)
    looks_every = Settings().server.events.proactive_granularity
    assert between + timedelta(seconds=10) < trigger.within < timedelta(seconds=KNOWN_WITHIN_S - 5) - looks_every
    # What a server that is killed in that moment does not do is done later.
    later = automations()["Slipway: dead runs are Crashed in the end"].trigger
    assert isinstance(later, EventTrigger)
    assert later.model_dump(exclude={"id", "within"}) == trigger.model_dump(exclude={"id", "within"})
    assert later.within > 2 * trigger.within


def test_runs_of_every_pool_wait_for_a_server_that_is_away() -> None:
    """Prefect's client tries again after 2, 4, 8 ... seconds, each longer or shorter by a share that is drawn."""
    default = Settings().client
    for pool in shipped_pools():
        tries = int(pool.template["variables"]["properties"]["env"]["default"]["PREFECT_CLIENT_MAX_RETRIES"])
        shortest = sum(2**number for number in range(1, tries + 1)) * (1 - default.retry_jitter_factor)
        assert shortest > AWAY_S


def test_automations_leave_other_peoples_runs_alone() -> None:
    """On a server with other flows they look after runs with our tag, or of our pool, alone."""
    for automation in automations().values():
        assert isinstance(automation.trigger, EventTrigger)
        related = automation.trigger.model_dump(mode="json")["match_related"]
        assert related in (
            {"prefect.resource.id": "prefect.tag.slipway", "prefect.resource.role": "tag"},
            {"prefect.resource.role": "work-pool", "prefect.resource.name": "slipway"},
        )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"entrypoint": "flows/release.py:release"}, "is not a module path"),
        ({"entrypoint": "prefect_slipway.flows.absent.release"}, "cannot be imported"),
        ({"entrypoint": "prefect_slipway.flows.sweep.absent"}, "cannot be imported"),
        ({"entrypoint": "prefect_slipway.flows.sweep.SweepRequest"}, "is not a flow"),
        ({"entrypoint": None}, "has no name or no entrypoint"),
        ({"schedules": [{"cron": "every day"}]}, "a schedule of 'mine'"),
        ({"schedules": [{"slug": "never"}]}, "neither cron, interval nor rrule"),
        ({"triggers": [{"within": "soon"}]}, "a trigger of 'mine'"),
    ],
)
async def test_what_is_wrong_in_a_file_is_said(nobody: PrefectClient, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        await read_one(nobody, **changes)


async def test_an_interval_is_anchored_the_same_each_time(nobody: PrefectClient) -> None:
    """Prefect's own default, the present moment, would make each registration another."""
    first, second = [await read_one(nobody, schedules=[{"interval": 3600}]) for _ in range(2)]
    assert first.schedules == second.schedules


def automations() -> dict[str, AutomationCore]:
    """The shipped ones, the notification's block left out."""
    found = {}
    for document in (*automation_files(SHIPPED), *automation_files(SAMPLES)):
        for one in document["automations"]:
            actions = [action for action in one["actions"] if "block_document" not in action]
            found[one["name"]] = AutomationCore.model_validate({**one, "actions": actions})
    return found


@pytest.mark.parametrize("path", [SAMPLES / "rules.yaml", SAMPLES / "cluster" / "rules.yaml"], ids=str)
def test_the_sample_rules_ask_for_releases(path: Path) -> None:
    """Their parameters are requests, once the placeholders are filled in."""
    for rule in read_yaml(path)["rules"]:
        filled = json.loads(re.sub(r"\{\{ \w+ \}\}", "x", json.dumps(rule["parameters"]["request"])))
        assert ReleaseRequest.read(filled).image
