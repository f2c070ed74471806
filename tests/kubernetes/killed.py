"""A run that is killed: `python -m tests.kubernetes.killed RUN LIFETIME NAME N` ends itself by SIGKILL at its Nth
write.

Without N it goes through all steps of a builder's life up to the build, prints how many writes that took, and is
killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any, cast

from flows.domain.credentials import Credential
from infra.kubernetes.access import ClusterAccess
from infra.kubernetes.api import KubernetesApi
from infra.kubernetes.builder import KubernetesBuilder
from infra.kubernetes.kinds import Object
from infra.kubernetes.model import BuilderSpec, Cache, Resources, Run


class OnePassword:
    async def credential(self, host: str) -> Credential | None:
        return Credential("user", "a password")


class MortalApi(KubernetesApi):
    def __init__(self, access: ClusterAccess, last: int) -> None:
        super().__init__(access)
        self.writes = 0
        self._last = last

    async def _json(self, *arguments: Any, **options: Any) -> Object:
        answer = await super()._json(*arguments, **options)
        if options.get("method", "GET") != "GET":
            self.writes += 1
            if self.writes == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
        return answer


async def main(run: str, lifetime: str, name: str, last: int) -> None:
    access = ClusterAccess.from_env(os.environ, namespace=os.environ.get("TEST_NAMESPACE"))
    spec = BuilderSpec(
        name=name,
        lifetime=cast(Any, lifetime),
        cache=Cache(size="1Gi"),
        resources=Resources(cpu="50m", memory="64Mi"),
        idle_s=2,
    )
    async with MortalApi(access, last) as api:
        builder = KubernetesBuilder(api, spec, Run(run), source="x", lease_s=2)
        await builder.provision()
        await builder.publish(OnePassword(), ["registry.example"], registry="registry.example", repository="x")
        print(api.writes, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 0))
