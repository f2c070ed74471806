"""Create objects without changing anyone else's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from prefect_slipway.infra.domain.errors import NotOurs, ObjectConflict
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import Object, kind_of, name_of, shown
from prefect_slipway.infra.kubernetes.access.labels import MANAGED_BY, RUN, SLIPWAY


async def apply_ours(api: KubernetesApi, obj: Object) -> Object:
    """Create the object, or update one of the same run. Raises NotOurs.

    Where nothing is there, it is applied without taking over fields: had somebody else made one in the meantime, that
    would be a conflict.
    """
    there = await api.get(kind_of(obj), name_of(obj))
    if there is None:
        try:
            return await api.apply(obj, force=False)
        except ObjectConflict:
            there = await api.get(kind_of(obj), name_of(obj))
            if there is None:
                raise
    check_ours(there, obj)
    return await api.apply(obj, force=True)


async def check_free(api: KubernetesApi, objects: Iterable[Object]) -> None:
    """Check that nobody else has an object of one of these names. Raises NotOurs, for the first in their order."""
    wanted = list(objects)
    found = await asyncio.gather(*(api.get(kind_of(obj), name_of(obj)) for obj in wanted))
    for there, obj in zip(found, wanted, strict=True):
        if there is not None:
            check_ours(there, obj)


def check_ours(there: Object, wanted: Object) -> None:
    """Raises NotOurs unless the object that is there was made by Slipway for the same run (or shared builder)."""
    found = there["metadata"].get("labels") or {}
    name = shown(kind_of(wanted), name_of(wanted))
    if found.get(MANAGED_BY) != SLIPWAY:
        raise NotOurs(f"{name} exists and was not created by Slipway: it is not changed")
    if found.get(RUN) != wanted["metadata"]["labels"][RUN]:
        raise NotOurs(f"{name} belongs to another run ({found.get(RUN)}): it is not changed")
