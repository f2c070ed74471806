"""Runs that are killed: `python -m tests.kubernetes.killed LIFETIME NAME` goes through all steps of a builder's life up
to the build, prints how many writes to the API that took, and ends itself by SIGKILL.

With numbers behind that, there is one such run for each number N, all at once, each with a builder `NAME-N` of its own,
and it is killed right after its Nth write.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from typing import Any, cast

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import Object
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Cache, Resources, Run


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


async def live(lifetime: str, name: str, last: int) -> None:
    access = ClusterAccess.from_env(os.environ, namespace=os.environ.get("TEST_NAMESPACE"))
    spec = BuilderSpec(
        name=name,
        lifetime=cast(Any, lifetime),
        cache=Cache(size="1Gi"),
        resources=Resources(cpu="10m", memory="32Mi"),
        idle_s=2,
    )
    async with MortalApi(access, last) as api:
        builder = KubernetesBuilder(api, spec, Run(secrets.token_hex(4)), source="x", lease_s=2)
        await builder.provision()
        await builder.publish(OnePassword(), ["registry.example"], registry="registry.example", repository="x")
        print(api.writes, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def main(lifetime: str, name: str, numbers: list[int]) -> None:
    children = {}
    for number in numbers:
        child = os.fork()
        if child == 0:
            asyncio.run(live(lifetime, f"{name}-{number}", number))
            os._exit(0)
        children[child] = number
    for child, number in children.items():
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"run {number} ended by itself"
    if not numbers:
        asyncio.run(live(lifetime, name, 0))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(number) for number in sys.argv[3:]])
