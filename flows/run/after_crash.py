"""Remove what a crashed run left in a cluster; whoever noticed the crash calls it.

Hooks of Prefect. The run's own process calls them where it ends by itself, the worker where it was killed. Where nobody
saw it (both died, a machine is gone) the run's Lease expires, and `slipway sweep` does the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from prefect_slipway.flows.run.endpoints import KUBERNETES
from prefect_slipway.flows.run.saved_blocks import block_name
from prefect_slipway.infra.domain.errors import SlipwayError

logger = logging.getLogger(__name__)


async def remove_what_is_left(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Safe to run twice, and while a process still cleans up. Failures are logged and left to the sweep.

    Prefect passes the parameters by these names (its runner), or in this order (its engine).
    """
    try:
        asked = await _asked(flow_run.parameters.get("request"))
        if asked.get("address") != KUBERNETES:
            return
        # The cluster's client takes half a second to import, which a run without one does not pay.
        from prefect_slipway.flows.run.cluster import open_api, run_name
        from prefect_slipway.infra.kubernetes.builders.sweep import remove_run

        gone: list[str] = []
        async with open_api(asked.get("context"), asked.get("namespace")) as api:
            # The process's supervisor read the run before it began, so its attempt may not be counted yet.
            for attempt in range(flow_run.run_count + 2):
                gone += await remove_run(api, run_name(str(flow_run.id), attempt))
        if gone:
            logger.info("removed from the cluster: %s", ", ".join(gone))
    except SlipwayError as error:
        logger.warning("the run's objects in the cluster are left to `slipway sweep`: %s", error)


async def _asked(request: Any) -> Mapping[str, Any]:
    """The request's section on the builder, with the fields of a saved one. Raises InvalidOption."""
    choice = request.get("builder") if isinstance(request, Mapping) else getattr(request, "builder", None)
    asked: dict[str, Any] = dict(choice or {})
    if name := block_name(asked.get("address") or ""):
        from prefect_slipway.flows.run.open_run import load_builder

        asked |= (await load_builder(name)).request_fields()["builder"]
    return asked
