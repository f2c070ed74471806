"""Write registry credentials to a Secret of the type docker-registry, and read them from it.

The Secret follows its source (Vault): it is checked again at each of the build's callbacks and every `every_s`
seconds, and rewritten when the value is another. A shared builder's Secret holds the credentials of all releases
that share it, by host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from prefect_slipway.infra.domain.credentials import Credential, CredentialSource
from prefect_slipway.infra.domain.errors import ObjectConflict, SlipwayError
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.apply import check_ours
from prefect_slipway.infra.kubernetes.access.docker_config import Auths, auths_of, docker_config
from prefect_slipway.infra.kubernetes.access.kinds import SECRET, Object, name_of

_TRIES = 5


class RegistrySecret:
    """A CredentialSource that copies the credentials of its source to a Secret, and answers from that Secret.

    `hosts`: the registries whose credentials belong into it. `manifest`: the Secret for a `config.json`'s text.
    """

    def __init__(
        self,
        api: KubernetesApi,
        source: CredentialSource,
        hosts: Iterable[str],
        manifest: Callable[[str], Object],
        *,
        every_s: float = 30.0,
    ) -> None:
        self._api = api
        self._source = source
        self._hosts = tuple(hosts)
        self._manifest = manifest
        self._empty = manifest("{}")
        self._name = name_of(self._empty)
        self._every_s = every_s
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Write it for the first time and follow the source from then on. Raises ClusterErrors and VaultErrors."""
        await self.sync()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def credential(self, host: str) -> Credential | None:
        """The Secret's current credential for `host`, updated from the source if that is reachable."""
        if host not in self._hosts:
            return await self._source.credential(host)
        try:
            auths = await self.sync()
        except SlipwayError:
            # The source (or the permission to write) is missing for the moment: use the present content.
            there = await self._api.get(SECRET, self._name)
            if there is None:
                raise
            check_ours(there, self._empty)
            auths = auths_of(there)
        return auths.get(host)

    async def sync(self) -> Auths:
        """Update the Secret from the source; returns its content."""
        async with self._writing:
            wanted = {host: await self._source.credential(host) for host in self._hosts}
            for _ in range(_TRIES):
                there = await self._api.get(SECRET, self._name)
                if there is not None:
                    check_ours(there, self._empty)  # before it is read: whatever is in somebody else's is theirs
                before = auths_of(there) if there is not None else {}
                after = dict(before)
                for host, credential in wanted.items():
                    if credential is not None:
                        after[host] = credential
                    else:
                        after.pop(host, None)
                manifest = self._manifest(docker_config(after))
                try:
                    if there is None:
                        await self._api.create(manifest)
                    else:
                        if after == before:
                            return after
                        version = {"resourceVersion": there["metadata"]["resourceVersion"]}
                        await self._api.merge(SECRET, self._name, {"metadata": version, "data": manifest["data"]})
                except ObjectConflict:
                    continue  # another release that shares it was first
                return after
            raise ObjectConflict(f"secret/{self._name} changed {_TRIES} times while it was written")

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.sync()
            except SlipwayError:
                continue  # the next callback or round says what is wrong, if it still is
