"""The sweep as a flow, for a schedule: what expired runs left in a namespace, whatever Prefect thinks of them."""

from typing import cast

from prefect import flow
from prefect.states import Completed
from pydantic import Field

from flows.cluster import open_api
from flows.events import announce_swept
from flows.request import Request
from infra.kubernetes.sweep import sweep as sweep_namespace


class SweepRequest(Request):
    """Where to sweep."""

    context: str | None = Field(default=None, description="Kubeconfig context. None: the current one, or the pod's.")
    namespace: str | None = Field(default=None, description="Namespace to sweep. None: the context's.")


@flow(name="sweep", flow_run_name="sweep {request.namespace}")
async def sweep(request: SweepRequest) -> list[str]:
    """Remove what expired runs left in a namespace, and shared builders that nobody has used for their idle time."""
    async with open_api(request.context, request.namespace) as api:
        gone = list((await sweep_namespace(api)).objects)
        if gone:
            await announce_swept(api.namespace, gone)
    said = f"removed {len(gone)} object{'s' if len(gone) != 1 else ''}" if gone else "nothing had expired"
    # Prefect takes a state for the run's end and gives its data to the caller: the UI shows what came of it.
    return cast("list[str]", Completed(message=said, data=gone))
