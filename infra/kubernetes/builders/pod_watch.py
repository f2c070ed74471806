"""Watch a builder's pod during a build, to tell its end from a dropped connection."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from prefect_slipway.infra.domain.errors import BuilderDeleted, ClusterError
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import POD, Object, name_of
from prefect_slipway.infra.kubernetes.access.pods import Verdict, restarts, verdict


class Sentinel:
    """Watches one pod from now on and remembers the first telling status."""

    def __init__(self, api: KubernetesApi, pod: Object) -> None:
        self.pod = pod
        self._api = api
        self._restarts = restarts(pod)
        self.found: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        """What happened to the pod, as soon as that shows."""
        self._task = asyncio.create_task(self._watch())

    async def verdict(self, within_s: float) -> Verdict | None:
        """What happened to the pod; None if nothing shows within `within_s` seconds."""
        await asyncio.wait([self.found], timeout=within_s)
        return self.found.result() if self.found.done() else None

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _watch(self) -> None:
        name = name_of(self.pod)
        while True:
            try:
                async with aclosing(self._api.follow(POD, name=name)) as changes:
                    async for pods in changes:
                        there = pods.get(name)
                        found = Verdict(BuilderDeleted, f"pod/{name} was deleted")
                        if there is not None and there["metadata"]["uid"] == self.pod["metadata"]["uid"]:
                            self.pod = there
                            found_now = self._told()
                            if found_now is None:
                                continue
                            found = found_now
                        self.found.set_result(found)
                        return
            except ClusterError:
                await asyncio.sleep(1)  # the API server is away, which says nothing about the pod

    def _told(self) -> Verdict | None:
        """A verdict that is news: a restart before this watch began is none."""
        found = verdict(self.pod)
        if found is not None and found.previous and restarts(self.pod) == self._restarts:
            return None
        return found
