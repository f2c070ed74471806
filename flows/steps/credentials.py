"""Read credentials: check that Vault answers and has what the release needs. Nothing of it is kept or returned."""

from __future__ import annotations

from prefect_slipway.flows.planning.source import FetchedSource, secrets_of
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


async def check_named_secrets(run: OpenRun) -> None:
    """See that Vault has the build's secrets that the request names, before a builder is made. Raises VaultErrors."""
    await _check(run, run.request.build.in_vault)


async def check_secrets_of_files(run: OpenRun, source: FetchedSource) -> None:
    """The same for those that the source's files name, before anything is built. Raises InvalidOption for what is not
    allowed, VaultErrors."""
    if run.request.bake is not None:
        await _check(run, secrets_of(source))


async def _check(run: OpenRun, fields: list[SecretField]) -> None:
    if fields:
        await read_build_secrets(run, fields)


@step("read build secrets")
async def read_build_secrets(run: OpenRun, fields: list[SecretField]) -> None:
    """Read them once; nothing of them is kept: the build reads each when a step asks for it. Raises VaultErrors."""
    await run.see_secrets(fields)
