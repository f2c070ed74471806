"""Read credentials: check that Vault answers and has what the release needs. Nothing of it is kept or returned."""

from __future__ import annotations

from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.steps.step import step


@step("read credentials")
async def read_credentials(registries: Registries) -> list[str]:
    """Read all credentials once; returns their hosts. Raises the VaultErrors."""
    source = registries.credentials()
    hosts = sorted(registries.paths())
    for host in hosts:
        await source.credential(host)
    return hosts
