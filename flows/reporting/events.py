"""Slipway's events in Prefect: automations start deployments on them, and other systems subscribe to them.

An event is posted to the server's API and not to Prefect's background worker: it has arrived when `announce` returns,
so a process that dies afterwards takes none along.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.context import FlowRunContext
from prefect.events import Event, RelatedResource, Resource
from prefect.events.related import related_resources_from_run_context
from prefect.settings import PREFECT_API_URL

from prefect_slipway.flows.reporting.origin import origin_of_this_run
from prefect_slipway.flows.reporting.resources import resource_id as resource_id
from prefect_slipway.flows.server.errors import prefect_client, prefect_errors
from prefect_slipway.infra.domain.errors import PrefectError

IMAGE_RELEASED = "slipway.image.released"
RELEASE_FAILED = "slipway.release.failed"
PUSHED = "slipway.push"
IMAGE_DEPLOYED = "slipway.image.deployed"
DEPLOY_FAILED = "slipway.deploy.failed"
IMAGE_ROLLED_BACK = "slipway.image.rolled-back"
SWEPT = "slipway.swept"

NOT_CHANGED = "the workload is not changed"
"""`outcome` of DEPLOY_FAILED where something else had changed the workload meanwhile; empty where the deploy was
refused before it changed anything."""

_PATIENCE_S = 10.0

logger = logging.getLogger(__name__)


def deploy_outcome(event: str, payload: Mapping[str, Any]) -> str | None:
    """What an event says of a deploy: `deployed`; `failed`; `refused` (or overtaken), which changed nothing; `rolled
    back` by a person, `restored` by the deploy that failed. None for other events."""
    if event == IMAGE_DEPLOYED:
        return "deployed"
    if event == DEPLOY_FAILED:
        return "refused" if payload.get("outcome") in ("", NOT_CHANGED) else "failed"
    if event == IMAGE_ROLLED_BACK:
        return "restored" if payload.get("cause") else "rolled back"
    return None


async def announce(event: str, subject: str, payload: Mapping[str, Any], *, kind: str = "image") -> bool:
    """Emit an event about `subject` (an image's REGISTRY/REPOSITORY); False, with a warning, if it did not arrive.

    The resource is `slipway.KIND/SUBJECT`, its label `prefect.resource.name` is the subject. Within a flow run the run,
    its flow, deployment and tags are related resources, and the payload gets `run` (its id) and `trigger`. What is
    announced has happened already, so that nobody takes note of it must not undo it: trouble with the server is a
    warning. Outside of a run and without PREFECT_API_URL there is nobody to tell. `payload`: plain JSON values, no
    secrets.
    """
    return await announce_each(event, {subject: payload}, kind=kind)


async def announce_each(event: str, payloads: Mapping[str, Mapping[str, Any]], *, kind: str = "image") -> bool:
    """The same of several subjects, each with its payload, in one request."""
    subjects = ", ".join(payloads)
    if FlowRunContext.get() is None and PREFECT_API_URL.value() is None:
        logger.warning("%s of %s: no Prefect server is configured to announce it to", event, subjects)
        return False
    try:
        with prefect_errors():
            async with asyncio.timeout(_PATIENCE_S), prefect_client() as client:
                related = await related_resources_from_run_context(client)
                run = await _run(client)
                emitted = [
                    _event(event, kind, subject, {**payload, **run}, related) for subject, payload in payloads.items()
                ]
                await client.request("POST", "/events", json=[each.model_dump(mode="json") for each in emitted])
    except TimeoutError:
        logger.warning("%s of %s could not be announced: no answer within %g s", event, subjects, _PATIENCE_S)
        return False
    except PrefectError as error:
        logger.warning("%s of %s could not be announced: %s", event, subjects, error.cause)
        return False
    return True


async def announce_swept(namespace: str, objects: Sequence[str]) -> bool:
    """Announce that the sweep removed these objects from a namespace; False, with a warning, if it did not arrive."""
    return await announce(SWEPT, namespace, {"objects": list(objects), "count": len(objects)}, kind="namespace")


async def _run(client: PrefectClient) -> dict[str, str]:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return {}
    return {"run": str(context.flow_run.id), "trigger": (await origin_of_this_run(client)).trigger}


def _event(name: str, kind: str, subject: str, payload: Mapping[str, Any], related: list[RelatedResource]) -> Event:
    return Event(
        event=name,
        occurred=datetime.now(UTC),
        resource=Resource({"prefect.resource.id": resource_id(subject, kind), "prefect.resource.name": subject}),
        related=related,
        payload=dict(payload),
    )
