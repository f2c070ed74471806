"""Automations without a deployment. The file defines what they do; people decide whether they are on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import AutomationCore
from pydantic import ValidationError

from prefect_slipway.flows.registration.outcome import Outcome, Registered, differences
from prefect_slipway.flows.registration.triggers import plain_automation
from prefect_slipway.flows.request.wrong import wrong
from prefect_slipway.infra.domain.errors import InvalidOption

KIND = "automation"


async def register_automation(client: PrefectClient, given: Mapping[str, Any]) -> Registered:
    """Create the automation, or update everything but its switch from the file.

    An action may name a saved block as `block_document: TYPE/NAME`. Raises InvalidOption.
    """
    wanted = _read({**given, "actions": [await _with_block(client, action) for action in given.get("actions", [])]})
    found = await client.read_automations_by_name(wanted.name)
    if not found:
        await client.create_automation(wanted)
        return Registered(KIND, wanted.name, Outcome.CREATED)
    wanted = wanted.model_copy(update={"enabled": found[0].enabled})
    changes = differences(plain_automation(wanted), plain_automation(found[0]))
    if not changes:
        return Registered(KIND, wanted.name, Outcome.UNCHANGED)
    await client.update_automation(found[0].id, AutomationCore.model_validate(plain_automation(wanted)))
    return Registered(KIND, wanted.name, Outcome.UPDATED, changes)


def _read(values: Mapping[str, Any]) -> AutomationCore:
    try:
        return AutomationCore.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidOption(f"the automation {values.get('name')!r}: {where}: {wrong(first)}") from None


async def _with_block(client: PrefectClient, action: Mapping[str, Any]) -> dict[str, Any]:
    if "block_document" not in action:
        return dict(action)
    slug, _, name = action["block_document"].partition("/")
    block = await client.read_block_document_by_name(name, slug, include_secrets=False)
    rest = {key: value for key, value in action.items() if key != "block_document"}
    return {**rest, "block_document_id": str(block.id)}
