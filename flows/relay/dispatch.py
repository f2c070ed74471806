"""From a push to Prefect: one event, and a run for each rule that applies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from prefect.client.orchestration import PrefectClient

from prefect_slipway.flows.relay import LOGGER
from prefect_slipway.flows.relay.push import RESERVATIONS, Push
from prefect_slipway.flows.relay.rules import Rule
from prefect_slipway.flows.reporting.events import PUSHED
from prefect_slipway.flows.run.starting import StartedRun, emit, find_deployment, start_run
from prefect_slipway.infra.domain.errors import DeploymentUnknown, ParametersRefused, PrefectUnreachable

PATIENCE_S = 8.0
"""Forges wait no longer than 10 s for an answer (GitHub, GitLab) and then take the delivery for failed."""

TRIGGER_TAG = "trigger: push"
"""A tag of the runs that a push has started."""

logger = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True)
class Started:
    """The result of one rule: a run, or the reason (`failed`) why there is none."""

    rule: str
    run: StartedRun | None = None
    failed: str | None = None


async def dispatch(
    client: PrefectClient, push: Push, source: str, rules: Sequence[Rule], *, patience_s: float = PATIENCE_S
) -> list[Started]:
    """Emit the event and start the runs, all or none new if it is done again: each has a key of its own.

    What a rule got wrong (its deployment, its parameters) is reported and does not keep the others from their runs.
    Raises PrefectErrors: then the forge has to send the delivery again.
    """
    if push.ref.startswith(RESERVATIONS):
        return []
    try:
        async with asyncio.timeout(patience_s):
            await emit(
                client,
                PUSHED,
                push.repository,
                push.as_payload(),
                kind="repository",
                labels={"slipway.push.kind": push.kind, "slipway.push.ref": push.ref, "slipway.push.source": source},
                key=push.key(source),
            )
            return [await _start(client, push, rule) for rule in rules if _applies(rule, push, source)]
    except TimeoutError as error:
        raise PrefectUnreachable(f"the Prefect server did not answer within {patience_s:g} s") from error


def _applies(rule: Rule, push: Push, source: str) -> bool:
    why_not = rule.misses(push, source)
    if why_not is not None:
        logger.debug("%s: rule %s does not apply: %s", push.delivery, rule.name, why_not)
    return why_not is None


async def _start(client: PrefectClient, push: Push, rule: Rule) -> Started:
    try:
        deployment = await find_deployment(client, rule.deployment)
        run = await start_run(
            client,
            deployment,
            rule.parameters_for(push),
            idempotency_key=f"slipway.push/{push.key(rule.name)}",
            tags=[TRIGGER_TAG],
        )
    except (DeploymentUnknown, ParametersRefused) as error:
        # The cause alone: the details may repeat the payload.
        return Started(rule.name, failed=error.cause)
    return Started(rule.name, run)
