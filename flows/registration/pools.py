"""Work pools: where a deployment's runs start, and with which settings."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from prefect_slipway.flows.registration.files import Pool
from prefect_slipway.flows.registration.outcome import Outcome, Registered
from prefect_slipway.infra.domain.errors import InvalidOption

KIND = "work pool"
PROCESS = "process"


async def register_pool(client: PrefectClient, pool: Pool, *, update: bool = True) -> Registered:
    """Create the pool, or update its job template; its limit and whether it is paused stay as they are.

    `update` False: one that is there is left as it is. Raises InvalidOption when a pool of another type has the name.
    """
    try:
        found = await client.read_work_pool(pool.name)
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(name=pool.name, type=pool.type, base_job_template=pool.template))
        return Registered(KIND, pool.name, Outcome.CREATED)
    if found.type != pool.type:
        raise InvalidOption(
            f"the work pool {pool.name!r} is of type {found.type!r}, but Slipway's is of type {pool.type!r}",
            action="rename or delete that pool",
        )
    if not update or found.base_job_template == pool.template:
        return Registered(KIND, pool.name, Outcome.UNCHANGED)
    await client.update_work_pool(pool.name, WorkPoolUpdate(base_job_template=pool.template))
    return Registered(KIND, pool.name, Outcome.UPDATED, ("base_job_template",))


async def is_meant(client: PrefectClient, pool: Pool) -> bool:
    """Whether a pool is registered by default: a process pool needs nothing else; a pool of another type needs a
    cluster, and is registered if a worker serves it."""
    if pool.type == PROCESS:
        return True
    try:
        await client.read_work_pool(pool.name)
    except ObjectNotFound:
        return False
    return bool(await client.read_workers_for_work_pool(pool.name, limit=1))


async def read_process_pool(client: PrefectClient, name: str) -> None:
    """Check that a worker can serve the pool. Raises InvalidOption."""
    try:
        found = await client.read_work_pool(name)
    except ObjectNotFound as error:
        raise InvalidOption(f"there is no work pool {name!r}", action="create it in the UI, or check --pool") from error
    if found.type != PROCESS:
        raise InvalidOption(f"the work pool {name!r} is of type {found.type!r}, but this worker is of type 'process'")
