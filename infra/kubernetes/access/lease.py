"""The run root: a Lease that owns all objects of a run and is renewed while the run lives.

A run that dies stops renewing; whoever sweeps after `duration_s` deletes the Lease, and with it what it owns. All times
are the API server's, so clocks that differ expire nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime, timedelta

from prefect_slipway.infra.domain.errors import ClusterError, ObjectMissing
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import LEASE, Kind, Object, name_of

_MICRO_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"  # apimachinery, MicroTime


def timestamp(moment: datetime) -> str:
    return moment.strftime(_MICRO_TIME)


def expires(lease: Object) -> datetime:
    """When the Lease ends if nobody renews it again."""
    spec = lease.get("spec") or {}
    renewed = spec.get("renewTime") or lease["metadata"]["creationTimestamp"]
    return datetime.fromisoformat(renewed) + timedelta(seconds=spec.get("leaseDurationSeconds") or 0)


class Renewal:
    """Renews a Lease in the background, three times within its duration, until somebody deletes it."""

    def __init__(self, api: KubernetesApi, lease: Object, duration_s: float) -> None:
        self._api = api
        self._name = name_of(lease)
        self._every_s = duration_s / 3
        self._task = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await renew(self._api, self._name)
            except ObjectMissing:
                return
            except ClusterError:
                continue  # the next one may get through; until it expires nothing is lost

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def renew(api: KubernetesApi, name: str) -> Object:
    """Renew the Lease. Raises ObjectMissing if it no longer exists."""
    return await api.merge(LEASE, name, {"spec": {"renewTime": timestamp(api.now())}})


async def gone(api: KubernetesApi, kind: Kind, obj: Object) -> None:
    """Wait until exactly this object no longer exists."""
    name = name_of(obj)
    async with aclosing(api.follow(kind, name=name)) as changes:
        async for objects in changes:
            if name not in objects or objects[name]["metadata"]["uid"] != obj["metadata"]["uid"]:
                return
