"""Start runs and emit events from outside a flow, for the relay, `slipway trigger` and the base image check."""

from __future__ import annotations

import asyncio
import difflib
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import Event, Resource
from prefect.exceptions import ObjectNotFound
from prefect.utilities.urls import url_for

from prefect_slipway.flows.reporting.events import resource_id
from prefect_slipway.flows.run.recorded_parameters import check_shapes, read_requests
from prefect_slipway.flows.server.entrypoint import OURS, load_flow
from prefect_slipway.flows.server.errors import prefect_errors
from prefect_slipway.infra.domain.errors import DeploymentUnknown, InvalidOption, ParametersRefused, UsageError
from prefect_slipway.infra.domain.urls import check_texts

_MOST_NAMES = 200
_NEAR = 5
_DEFINITIONS = "#/definitions/"
# Statuses of create_flow_run for parameters that are not what the deployment's schema says: 409 validation, 400
# hydration, 422 the request itself (prefect/server/api/deployments.py).
_PARAMETERS_REFUSED = {400, 409, 422}

# The same event gets the same id when sent again: the server drops repeated ids of the last minutes.
_EVENT_IDS = uuid.uuid5(uuid.NAMESPACE_DNS, "slipway.dev")


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run of a deployment. `new`: False if the idempotency key started it before. `url`: "" without a UI."""

    run_id: str
    name: str
    url: str
    state: str
    new: bool


async def find_deployment(client: PrefectClient, name: str) -> DeploymentResponse:
    """The deployment called FLOW/NAME. Raises DeploymentUnknown with near names, PrefectErrors."""
    with prefect_errors():
        try:
            return await client.read_deployment_by_name(name)
        except (ObjectNotFound, ValueError) as error:
            known = await _names(client)
            near = difflib.get_close_matches(name, known, _NEAR, cutoff=0.4) or known[:_NEAR]
            there = f"there is {', '.join(near)}" if near else "there are none; `slipway deploy-flows` registers some"
            raise DeploymentUnknown(f"no deployment has the name {name!r}", action=there) from error


async def start_run(
    client: PrefectClient,
    deployment: DeploymentResponse,
    parameters: Mapping[str, Any],
    *,
    idempotency_key: str | None = None,
    tags: Iterable[str] = (),
) -> StartedRun:
    """Create a run, or find the one that the key created. Raises ParametersRefused, PrefectErrors.

    `parameters`: replace the deployment's own, whole by whole. The server records them with the run, so what may hold a
    secret is refused here.
    """
    try:
        await asyncio.to_thread(_check_requests, deployment.entrypoint or "", parameters, check_shapes)
        _check_names(deployment, parameters)
        check_texts("", parameters)
        await asyncio.to_thread(_check_requests, deployment.entrypoint or "", parameters, read_requests)
    except ParametersRefused:
        raise
    except UsageError as error:
        raise ParametersRefused(
            f"the deployment {deployment.name} does not accept these parameters",
            details=error.cause,
            action=error.action,
        ) from None
    body: dict[str, Any] = {"parameters": dict(parameters), "tags": list(tags)}
    if idempotency_key is not None:
        body["idempotency_key"] = idempotency_key
    with prefect_errors():
        try:
            # Not the client's own method: that does not say whether the run is new (201).
            response = await client.request(
                "POST", "/deployments/{id}/create_flow_run", path_params={"id": deployment.id}, json=body
            )
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in _PARAMETERS_REFUSED:
                raise
            raise ParametersRefused(
                f"the deployment {deployment.name} does not accept these parameters", details=_detail(error.response)
            ) from None
    run = FlowRun.model_validate(response.json())
    state = run.state.name if run.state and run.state.name else "Scheduled"
    return StartedRun(
        str(run.id), run.name, url_for("flow-run", obj_id=run.id) or "", state, response.status_code == 201
    )


async def emit(
    client: PrefectClient,
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
    emitted = Event(
        id=uuid.uuid5(_EVENT_IDS, key) if key is not None else uuid.uuid4(),
        event=event,
        occurred=datetime.now(UTC),
        resource=Resource(
            {
                "prefect.resource.id": resource_id(subject, kind),
                "prefect.resource.name": subject,
                **(labels or {}),
            }
        ),
        payload=dict(payload),
    )
    with prefect_errors():
        await client.request("POST", "/events", json=[emitted.model_dump(mode="json")])
    return str(emitted.id)


def _check_names(deployment: DeploymentResponse, parameters: Mapping[str, Any]) -> None:
    """The server takes a parameter that the flow has not, and the run crashes before it can say why.

    Raises ParametersRefused with the name that is meant.
    """
    schema = deployment.parameter_openapi_schema or {}
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


def _check_requests(
    entrypoint: str, parameters: Mapping[str, Any], check: Callable[[Callable[..., Any], Mapping[str, Any]], None]
) -> None:
    """Check what is given for a flow of Slipway's as the flow will. Raises the request models' UsageErrors."""
    if not entrypoint.startswith(OURS):
        return
    try:
        flow = load_flow(entrypoint)
    except InvalidOption:
        return  # one of another version of Slipway: the server knows what it takes
    check(flow.fn, parameters)


async def _names(client: PrefectClient) -> list[str]:
    deployments = await client.read_deployments(limit=_MOST_NAMES)
    flows = {}
    for identity in {deployment.flow_id for deployment in deployments}:
        flows[identity] = (await client.read_flow(identity)).name
    return sorted(f"{flows[deployment.flow_id]}/{deployment.name}" for deployment in deployments)


def _detail(response: httpx.Response) -> str:
    """The server's words: they repeat the parameters, which hold no secrets but may hold a payload."""
    try:
        return str(response.json()["detail"])[:2000]
    except (ValueError, KeyError, TypeError):
        return ""
