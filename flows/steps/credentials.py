"""Read credentials: see that Vault answers and holds what the release will need. Nothing of it is kept or returned."""

from __future__ import annotations

from prefect_slipway.flows.run.workshop import workshop
from prefect_slipway.flows.steps.step import step


@step("read credentials")
async def read_credentials() -> list[str]:
    """The hosts there are credentials for. Raises the VaultErrors."""
    shop = workshop()
    source = shop.credentials()
    hosts = sorted(shop.secret_paths())
    for host in hosts:
        await source.credential(host)
    return hosts
