"""Read credentials: check that Vault answers and has what the release needs. Nothing of it is kept or returned."""

from __future__ import annotations

from prefect_slipway.flows.bake.builds import secrets_in_vault
from prefect_slipway.flows.planning.source import FetchedSource
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.secret_path import SecretField


@step("read credentials")
async def read_credentials(registries: Registries) -> list[str]:
    """Read all credentials once; returns their hosts. Raises the VaultErrors."""
    source = registries.credentials()
    hosts = sorted(registries.paths())
    for host in hosts:
        await source.credential(host)
    return hosts


async def check_build_secrets(run: OpenRun, source: FetchedSource) -> None:
    """See that Vault has the secrets of the build, before anything is built. Raises InvalidOption for what is not
    allowed, VaultErrors."""
    targets = source.targets.targets.values()
    fields = [field for target in targets for field in secrets_in_vault(target, source.places)]
    if fields:
        await read_build_secrets(run, fields)


@step("read build secrets")
async def read_build_secrets(run: OpenRun, fields: list[SecretField]) -> None:
    """Read them once; nothing of them is kept: the build reads each when a step asks for it. Raises VaultErrors."""
    for field in fields:
        await run.read_secret(field)
