"""The sweep as a scheduled flow: remove what expired runs left in a namespace, whatever Prefect knows of them."""

from contextlib import suppress

import httpx
from prefect import flow, get_client
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from prefect_slipway.flows.reporting.events import announce_swept
from prefect_slipway.flows.request.sweep import SweepRequest
from prefect_slipway.flows.run.cluster import open_api
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.infra.kubernetes.builders.sweep import sweep as sweep_namespace


@read_before_recorded
@flow(name="sweep", flow_run_name="{request.run_name}")
async def sweep(request: SweepRequest) -> list[str]:
    """Remove resources left behind by expired runs from a namespace, and shared builders after their idle time."""
    facts = (("context", request.context), ("namespace", request.namespace))
    about = About("sweep", request.called, f"{request.called} was not swept", facts)
    return await as_run(lambda: _sweep(request), about, _said)


async def _sweep(request: SweepRequest) -> list[str]:
    async with open_api(request.context, request.namespace) as api:
        await _name_run(f"sweep {request.sweeping(api.namespace)}")
        gone = list((await sweep_namespace(api)).objects)
        if gone:
            await announce_swept(api.namespace, gone)
    return gone


async def _name_run(name: str) -> None:
    # What has expired is removed whether or not the server answers.
    with suppress(httpx.HTTPError, PrefectException):
        async with get_client() as client:
            await client.update_flow_run(flow_run.id, name=name)


def _said(gone: list[str]) -> str:
    return f"removed {len(gone)} object{'s' if len(gone) != 1 else ''}" if gone else "nothing had expired"
