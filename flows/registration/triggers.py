"""A deployment's triggers: automations that the deployment owns, as prefect.yaml's `triggers` describe them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.events import DeploymentTriggerTypes
from prefect.events.schemas.automations import Automation, AutomationCore
from pydantic import TypeAdapter, ValidationError

from prefect_slipway.flows.request.wrong import wrong
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.urls import check_texts

_TAG = "slipway-trigger"

_TRIGGER: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)


def read_triggers(deployment: str, given: Iterable[Mapping[str, Any]]) -> list[DeploymentTriggerTypes]:
    """The triggers, named as `prefect deploy` names them. Raises InvalidOption."""
    given = list(given)
    check_texts(f"a trigger of {deployment!r}", given)
    try:
        return [
            _TRIGGER.validate_python({"name": f"{deployment}__automation_{number}", **one})
            for number, one in enumerate(given, start=1)
        ]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidOption(f"a trigger of {deployment!r}: {where}: {wrong(first)}") from None


async def owned_automations(
    client: PrefectClient, deployment: UUID, name: str, wanted: Sequence[DeploymentTriggerTypes]
) -> list[Automation]:
    """The automations created from the deployment's triggers, here or by `prefect deploy`.

    The server lists people's own automations that run the deployment among them, and doesn't say which it owns.
    """
    names = {one.name for one in wanted}
    return [
        one
        for one in await client.read_resource_related_automations(_owner(deployment))
        if _TAG in one.tags or one.name in names or one.name.startswith(f"{name}__automation_")
    ]


def triggers_differ(
    wanted: Sequence[DeploymentTriggerTypes], deployment: UUID, found: Sequence[AutomationCore]
) -> bool:
    """Whether the deployment's automations differ from its triggers."""
    return _plain(_automations(wanted, deployment)) != _plain(found)


async def replace_triggers(client: PrefectClient, deployment: UUID, wanted: Sequence[DeploymentTriggerTypes]) -> None:
    """Replace the deployment's automations."""
    await client.delete_resource_owned_automations(_owner(deployment))
    for automation in _automations(wanted, deployment):
        await client.create_automation(automation)


def _automations(wanted: Sequence[DeploymentTriggerTypes], deployment: UUID) -> list[AutomationCore]:
    made = []
    for one in wanted:
        trigger = one.model_copy(deep=True)
        trigger.set_deployment_id(deployment)
        made.append(trigger.as_automation().model_copy(update={"tags": [_TAG]}))
    return made


def _plain(automations: Iterable[AutomationCore]) -> list[dict[str, Any]]:
    # Automations of `prefect deploy` have no tag.
    values = [plain_automation(one) | {"tags": []} for one in automations]
    return sorted(values, key=lambda value: str(value["name"]))


def plain_automation(automation: AutomationCore) -> dict[str, Any]:
    """An automation without the server's additions; sets stay sets, because their order has no meaning."""
    return AutomationCore.model_validate(automation.model_dump()).model_dump(exclude={"owner_resource"})


def _owner(deployment: UUID) -> str:
    return f"prefect.deployment.{deployment}"
