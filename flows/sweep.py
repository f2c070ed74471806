"""The sweep as a flow, for a schedule: what expired runs left in a namespace, whatever Prefect thinks of them."""

from __future__ import annotations

from prefect import flow

from flows.cluster import open_api
from infra.kubernetes.sweep import sweep as sweep_namespace


@flow(name="sweep", flow_run_name="sweep {namespace}")
async def sweep(context: str | None = None, namespace: str | None = None) -> list[str]:
    """Remove what expired runs left; gives what went, as kubectl names it. Raises Leftovers and ClusterErrors."""
    async with open_api(context, namespace) as api:
        return list((await sweep_namespace(api)).objects)
