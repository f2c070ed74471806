"""Deployments of a prefect.yaml, registered as `prefect deploy --all` does it, but only where something differs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyOptions, DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.events import DeploymentTriggerTypes
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from prefect.utilities.templating import apply_values, resolve_block_document_references, resolve_variables
from pydantic import TypeAdapter, ValidationError

from prefect_slipway.flows.registration.outcome import Outcome, Registered, differences
from prefect_slipway.flows.registration.triggers import (
    owned_automations,
    read_triggers,
    replace_triggers,
    triggers_differ,
)
from prefect_slipway.flows.request.wrong import wrong
from prefect_slipway.flows.run.recorded_parameters import check_shapes, request_models
from prefect_slipway.flows.server.entrypoint import load_flow
from prefect_slipway.infra.domain.errors import InvalidOption, RequestOutdated
from prefect_slipway.infra.domain.urls import check_texts

KIND = "deployment"

_DURATION = TypeAdapter(timedelta)
_MOMENT = TypeAdapter(datetime)
# Prefect anchors an interval at its creation, so it would differ at every registration.
_ANCHOR = "2020-01-01T00:00:00Z"

# {{ prefect.variables.NAME }} and {{ prefect.blocks.TYPE.NAME }}
_ASKS_SERVER = re.compile(r"{{\s*prefect\.")

_SCHEDULE_FIELDS = {"schedule", "active", "parameters", "slug"}


@dataclass(frozen=True)
class Wanted:
    """A deployment as the file has it. `values`: what is compared and written, in the server's JSON."""

    flow: str
    name: str
    version: str | None
    schedules: tuple[DeploymentScheduleCreate, ...]
    triggers: tuple[DeploymentTriggerTypes, ...]
    values: Mapping[str, Any]

    @property
    def full_name(self) -> str:
        return f"{self.flow}/{self.name}"


async def read_stanzas(client: PrefectClient, document: Mapping[str, Any]) -> list[Wanted]:
    """The deployments of a prefect.yaml, its templates filled in. Raises InvalidOption."""
    stanzas = document.get("deployments")
    if not isinstance(stanzas, list) or not all(isinstance(item, dict) for item in stanzas):
        raise InvalidOption(
            "the file does not contain a list of deployments", action="write it as Prefect's documentation shows"
        )
    return [await _read(client, {"pull": document.get("pull"), **stanza}) for stanza in stanzas]


async def register_deployment(client: PrefectClient, wanted: Wanted) -> Registered:
    """Create the deployment, or update it from the file, including the switches of its schedules and triggers."""
    try:
        found = await client.read_deployment_by_name(wanted.full_name)
    except ObjectNotFound:
        identity = await _write(client, wanted)
        await replace_triggers(client, identity, wanted.triggers)
        return Registered(KIND, wanted.full_name, Outcome.CREATED)
    changes = differences(wanted.values, _values(found))
    if _plain_schedules(wanted.schedules) != _plain_schedules(found.schedules):
        changes += ("schedules",)
    if changes:
        await _write(client, wanted)
    if triggers_differ(
        wanted.triggers, found.id, await owned_automations(client, found.id, wanted.name, wanted.triggers)
    ):
        changes += ("triggers",)
        await replace_triggers(client, found.id, wanted.triggers)
    return Registered(KIND, wanted.full_name, Outcome.UPDATED if changes else Outcome.UNCHANGED, changes)


async def stop_schedules(client: PrefectClient, name: str) -> Registered | None:
    """Turn off the schedules that an earlier registration turned on, of the deployment FLOW/NAME. None if there are
    none."""
    try:
        found = await client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None
    on = [schedule for schedule in found.schedules if schedule.active]
    for schedule in on:
        await client.update_deployment_schedule(found.id, schedule.id, active=False)
    return Registered(KIND, name, Outcome.UPDATED, ("schedules",)) if on else None


async def _read(client: PrefectClient, stanza: dict[str, Any]) -> Wanted:
    name = stanza.get("name")
    if not isinstance(name, str) or not isinstance(stanza.get("entrypoint"), str):
        raise InvalidOption(f"the deployment {name!r} has no name or no entrypoint")
    # Templates in triggers are filled in at the event, not now.
    triggers = read_triggers(name, stanza.pop("triggers", None) or [])
    filled = stanza
    if _ASKS_SERVER.search(json.dumps(stanza, default=str)):
        filled = await resolve_block_document_references(filled, client=client)
        filled = await resolve_variables(filled, client=client)
    filled = cast("dict[str, Any]", apply_values(filled, dict(os.environ), remove_notset=False))
    # The server shows them to everybody who may see the deployment, and copies them into each run.
    check_texts(f"the deployment {name!r}: parameters", filled.get("parameters"))
    for number, each in enumerate(filled.get("schedules") or [], 1):
        check_texts(f"the deployment {name!r}: schedule {number}: parameters", each.get("parameters"))
    flow = load_flow(filled["entrypoint"])
    for values in (filled, *(filled.get("schedules") or [])):
        _check_shape(name, flow.fn, values.get("parameters") or {})
    pool = filled.get("work_pool") or {}
    limit, options = _concurrency(filled.get("concurrency_limit"))
    return Wanted(
        flow.name,
        name,
        flow.version,
        tuple(_schedule(name, each) for each in filled.get("schedules") or []),
        tuple(triggers),
        {
            "entrypoint": filled["entrypoint"],
            "description": filled.get("description") or flow.description,
            "tags": sorted(filled.get("tags") or []),
            "parameters": filled.get("parameters") or {},
            "parameter_openapi_schema": json.loads(parameter_schema(flow).model_dump_json(exclude_unset=True)),
            "enforce_parameter_schema": filled.get("enforce_parameter_schema", True),
            "work_pool_name": pool.get("name"),
            "work_queue_name": pool.get("work_queue_name") or "default",
            "job_variables": pool.get("job_variables") or {},
            "pull_steps": filled.get("pull") or [],
            "concurrency_limit": limit,
            "concurrency_options": options,
        },
    )


def _check_shape(deployment: str, function: Callable[..., Any], parameters: Mapping[str, Any]) -> None:
    try:
        check_shapes(request_models(function), parameters)
    except RequestOutdated as error:
        raise RequestOutdated(f"the deployment {deployment!r}: {error.cause}") from None


def _concurrency(given: object) -> tuple[int | None, dict[str, Any] | None]:
    if isinstance(given, dict):
        options = {key: value for key, value in given.items() if key != "limit"}
        return cast("int | None", given.get("limit")), options or None
    return cast("int | None", given), None


def _schedule(deployment: str, given: Mapping[str, Any]) -> DeploymentScheduleCreate:
    """A schedule as prefect.yaml has it. Raises InvalidOption."""
    zone = {"timezone": given["timezone"]} if given.get("timezone") else {}
    rule: CronSchedule | IntervalSchedule | RRuleSchedule
    try:
        if "cron" in given:
            more = {"day_or": given["day_or"]} if "day_or" in given else {}
            rule = CronSchedule(cron=given["cron"], **zone, **more)
        elif "interval" in given:
            anchor = _MOMENT.validate_python(given.get("anchor_date", _ANCHOR))
            rule = IntervalSchedule(interval=_DURATION.validate_python(given["interval"]), anchor_date=anchor, **zone)
        elif "rrule" in given:
            rule = RRuleSchedule(rrule=given["rrule"], **zone)
        else:
            raise InvalidOption(f"a schedule of {deployment!r} has neither cron, interval nor rrule")
        more = {key: given[key] for key in ("active", "parameters", "slug") if given.get(key) is not None}
        return DeploymentScheduleCreate(schedule=rule, **more)
    except ValidationError as error:
        raise InvalidOption(f"a schedule of {deployment!r}: {wrong(error.errors()[0])}") from None


def _plain_schedules(schedules: Sequence[DeploymentScheduleCreate | DeploymentSchedule]) -> list[dict[str, Any]]:
    values = [item.model_dump(mode="json", include=_SCHEDULE_FIELDS) for item in schedules]
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))


def _values(found: DeploymentResponse) -> dict[str, Any]:
    """What the server has of a deployment, in the shape of `Wanted.values`."""
    values = found.model_dump(mode="json")
    limit = found.global_concurrency_limit
    return {
        **values,
        "tags": sorted(found.tags),
        "pull_steps": found.pull_steps or [],
        "concurrency_limit": limit.limit if limit else None,
        "concurrency_options": found.concurrency_options
        and found.concurrency_options.model_dump(mode="json", exclude_none=True),
    }


async def _write(client: PrefectClient, wanted: Wanted) -> UUID:
    values = dict(wanted.values)
    options = values.pop("concurrency_options")
    return await client.create_deployment(
        flow_id=await client.create_flow_from_name(wanted.flow),
        name=wanted.name,
        version=wanted.version,
        schedules=list(wanted.schedules),
        concurrency_options=ConcurrencyOptions.model_validate(options) if options else None,
        **values,
    )
