"""Start runs and emit events from outside a flow, for the relay, `slipway trigger` and the base image check."""

from __future__ import annotations

import asyncio
import difflib
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

from prefect_slipway.flows.reporting.resources import resource_id
from prefect_slipway.flows.request import of_flows
from prefect_slipway.flows.run.recorded_parameters import Models, check_shapes, read_requests, request_models, run_name
from prefect_slipway.flows.server.entrypoint import OURS, load_flow
from prefect_slipway.flows.server.errors import prefect_errors
from prefect_slipway.flows.server.quick import Client, run_page
from prefect_slipway.infra.domain.errors import DeploymentUnknown, InvalidOption, ParametersRefused, UsageError
from prefect_slipway.infra.domain.urls import check_texts

_MOST_NAMES = 200
_NEAR = 5
_DEFINITIONS = "#/definitions/"
# Statuses of create_flow_run for parameters that are not what the deployment's schema says: 409 validation, 400
# hydration, 422 the request itself (prefect/server/api/deployments.py).
_PARAMETERS_REFUSED = {400, 409, 422}

# What else a 409 says (prefect/server/api/server.py): the task run that the run belongs to is not recorded yet, as task
# runs are from events and a busy server is behind with them; or a request with the same key is under way.
_CONFLICT = "Data integrity conflict"
_RECORDED_S = 60.0
_LOOK_S = 0.5

_FAILED = {"FAILED", "CRASHED", "CANCELLED"}

# The same event gets the same id when sent again: the server drops repeated ids of the last minutes.
_EVENT_IDS = uuid.uuid5(uuid.NAMESPACE_DNS, "slipway.dev")


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run of a deployment. `kind`, `state`: type and name of its state. `new`: False if the idempotency key started
    it before. `url`: "" without a UI."""

    run_id: str
    name: str
    url: str
    kind: str
    state: str
    new: bool

    @property
    def failed(self) -> bool:
        return self.kind in _FAILED


@dataclass(frozen=True, slots=True)
class Deployment:
    """What starts its runs needs to know of it. `schema`: of its parameters."""

    id: str
    name: str
    entrypoint: str
    parameters: Mapping[str, Any]
    schema: Mapping[str, Any]


async def find_deployment(client: Client, name: str) -> Deployment:
    """The deployment called FLOW/NAME. Raises DeploymentUnknown with near names, PrefectErrors."""
    flow, slash, own = (quote(part, safe="") for part in name.partition("/"))
    with prefect_errors():
        try:
            if not slash:
                raise LookupError(name)
            found = (await client.request("GET", f"/deployments/name/{flow}/{own}")).json()
        except (LookupError, httpx.HTTPStatusError) as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            known = await _names(client)
            near = difflib.get_close_matches(name, known, _NEAR, cutoff=0.4) or known[:_NEAR]
            there = f"there is {', '.join(near)}" if near else "there are none; `slipway deploy-flows` registers some"
            raise DeploymentUnknown(f"no deployment has the name {name!r}", action=there) from error
    return Deployment(
        found["id"],
        found["name"],
        found["entrypoint"] or "",
        found["parameters"] or {},
        found["parameter_openapi_schema"] or {},
    )


async def start_run(
    client: Client,
    deployment: Deployment,
    parameters: Mapping[str, Any],
    *,
    idempotency_key: str | None = None,
    tags: Iterable[str] = (),
    parent: str | None = None,
) -> StartedRun:
    """Create a run, or find the one that the key created. Raises ParametersRefused, PrefectErrors.

    `parameters`: replace the deployment's own, whole by whole. The server records them with the run, so what may hold a
    secret is refused here. `parent`: the task run that the run is a part of.
    """
    try:
        models = await asyncio.to_thread(_models, deployment.entrypoint)
        check_shapes(models, parameters)
        _check_names(deployment, parameters)
        check_texts("", parameters)
        read_requests(models, parameters)
    except ParametersRefused:
        raise
    except UsageError as error:
        raise ParametersRefused(
            f"the deployment {deployment.name} does not accept these parameters",
            details=error.cause,
            action=error.action,
        ) from None
    # A request whose answer was lost is sent again: a key of its own keeps it from creating a second run.
    key = idempotency_key or str(uuid.uuid4())
    body: dict[str, Any] = {"parameters": dict(parameters), "tags": list(tags), "idempotency_key": key}
    # Until a worker takes it up, nobody else names it.
    if name := run_name(models, {**deployment.parameters, **parameters}):
        body["name"] = name
    if parent is not None:
        body["parent_task_run_id"] = parent
    response = await _created(client, deployment, body)
    run = response.json()
    state = run.get("state") or {}
    kind, said = state.get("type") or "SCHEDULED", state.get("name") or "Scheduled"
    new = idempotency_key is None or response.status_code == httpx.codes.CREATED
    return StartedRun(run["id"], run["name"], run_page(run["id"]), kind, said, new)


async def _created(client: Client, deployment: Deployment, body: Mapping[str, Any]) -> httpx.Response:
    deadline = time.monotonic() + _RECORDED_S
    while True:
        with prefect_errors():
            try:
                # Not the client's own method: that does not say whether the run is new (201).
                return await client.request("POST", f"/deployments/{deployment.id}/create_flow_run", json=body)
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in _PARAMETERS_REFUSED:
                    raise
                said = _detail(error.response)
                if not said.startswith(_CONFLICT):
                    raise ParametersRefused(
                        f"the deployment {deployment.name} does not accept these parameters", details=said
                    ) from None
                if time.monotonic() > deadline:
                    raise
        await asyncio.sleep(_LOOK_S)


async def emit(
    client: Client,
    event: str,
    subject: str,
    payload: Mapping[str, Any],
    *,
    kind: str,
    labels: Mapping[str, str] | None = None,
    key: str | None = None,
) -> str:
    """Emit an event about `slipway.KIND/SUBJECT`; its id. Raises PrefectErrors.

    `key`: the same key, the same event, however often it is sent. Raises InvalidOption for what may hold a secret.
    """
    check_texts("the payload", payload)
    identity = str(uuid.uuid5(_EVENT_IDS, key) if key is not None else uuid.uuid4())
    emitted = {
        "id": identity,
        "event": event,
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {
            "prefect.resource.id": resource_id(subject, kind),
            "prefect.resource.name": subject,
            **(labels or {}),
        },
        "payload": dict(payload),
    }
    with prefect_errors():
        await client.request("POST", "/events", json=[emitted])
    return identity


def _check_names(deployment: Deployment, parameters: Mapping[str, Any]) -> None:
    """The server takes a parameter that the flow has not, and the run crashes before it can say why.

    Raises ParametersRefused with the name that is meant.
    """
    schema = deployment.schema
    properties = schema.get("properties")
    if not properties or any(_is_for_all_others(one) for one in properties.values()):
        return
    found = _unknown(schema, schema, parameters, ())
    if found is None:
        return
    path, known = found
    near = difflib.get_close_matches(path[-1], known, 1)
    named = ".".join((*path[:-1], near[0])) if near else None
    raise ParametersRefused(
        f"the deployment {deployment.name} has no parameter {'.'.join(path)!r}",
        action=f"write {named!r}" if named else f"use one of {', '.join(sorted(known))}",
    )


def _is_for_all_others(schema: Mapping[str, Any]) -> bool:
    """How Prefect writes down `**kwargs` (and a mapping that is empty by default, which cannot be told from it)."""
    return schema.get("additionalProperties") is True and schema.get("default") == {}


def _unknown(
    schema: Mapping[str, Any], root: Mapping[str, Any], values: Mapping[str, Any], path: tuple[str, ...]
) -> tuple[tuple[str, ...], list[str]] | None:
    """The path to the first name that the schema does not know, and the names that it does."""
    properties = schema.get("properties") or {}
    for name, value in values.items():
        if name not in properties:
            return (*path, name), list(properties)
        inner = _resolved(properties[name], root)
        if isinstance(value, Mapping) and inner.get("additionalProperties") is False:
            found = _unknown(inner, root, value, (*path, name))
            if found is not None:
                return found
    return None


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    if not reference.startswith(_DEFINITIONS):
        return schema
    found: Mapping[str, Any] = (root.get("definitions") or {}).get(reference.removeprefix(_DEFINITIONS)) or {}
    return found


def _models(entrypoint: str) -> Models:
    """What is given for a flow of Slipway's is read as the flow will."""
    if not entrypoint.startswith(OURS):
        return {}
    if (models := of_flows.request_models(entrypoint)) is not None:
        return models
    try:
        return request_models(load_flow(entrypoint).fn)
    except InvalidOption:
        return {}  # one of another version of Slipway: the server knows what it takes


async def _names(client: Client) -> list[str]:
    deployments = (await client.request("POST", "/deployments/filter", json={"limit": _MOST_NAMES})).json()
    identities = sorted({deployment["flow_id"] for deployment in deployments})
    flows = (await client.request("POST", "/flows/filter", json={"flows": {"id": {"any_": identities}}})).json()
    names = {flow["id"]: flow["name"] for flow in flows}
    return sorted(f"{names.get(one['flow_id'], '')}/{one['name']}" for one in deployments)


def _detail(response: httpx.Response) -> str:
    """The server's words: they repeat the parameters, which hold no secrets but may hold a payload."""
    try:
        return str(response.json()["detail"])[:2000]
    except (ValueError, KeyError, TypeError):
        return ""
