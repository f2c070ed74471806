"""The pull Secret of a workload: written from a credential source, owned by the workload.

It bears another `managed-by` than a run's objects: no sweep takes it, it goes with its workload.
"""

from __future__ import annotations

import base64
import hashlib

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import NotOurs, ObjectConflict
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.docker_config import DOCKER_CONFIG, KEY, Auths, auths_of, docker_config
from prefect_slipway.infra.kubernetes.access.kinds import SECRET, Object, name_of
from prefect_slipway.infra.kubernetes.access.labels import MANAGED_BY
from prefect_slipway.infra.kubernetes.workloads.workload import WorkloadState
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName

DEPLOY = "slipway-deploy"
WORKLOAD = "slipway.dev/workload"
_MAX_NAME = 253
_MAX_LABEL = 63
_TRIES = 5


def pull_secret_name(workload: WorkloadName) -> str:
    """One for each workload."""
    return _short(f"slipway-pull-{str(workload).replace('/', '-')}", _MAX_NAME)


class PullSecret:
    """The pull Secret of one workload, and what it was before this object wrote it (kept in memory alone)."""

    def __init__(self, api: KubernetesApi, workload: WorkloadState) -> None:
        self.name = pull_secret_name(workload.name)
        self._api = api
        self._workload = workload
        self._before: Auths | None = None
        self._made = False

    async def put(self, host: str, credential: Credential) -> bool:
        """Put this credential for `host` into the Secret, and keep those of other registries. False if it was there
        already.

        Raises NotOurs for a Secret of that name that Slipway did not make for this workload, and ClusterErrors.
        """
        for _ in range(_TRIES):
            there = await self._api.get(SECRET, self.name)
            try:
                if there is None:
                    await self._api.create(self._manifest({host: credential}))
                    self._made = True
                    return True
                self._check_ours(there)
                before = auths_of(there)
                after = {**before, host: credential}
                wanted = self._manifest(after)
                if after == before and there["metadata"].get("ownerReferences") == _owners(wanted):
                    return False
                await self._write(there, wanted)
                self._before = before
                return True
            except ObjectConflict:
                continue  # another deploy of the workload was first
        raise ObjectConflict(f"secret/{self.name} changed {_TRIES} times while it was written")

    async def restore(self) -> None:
        """Undo `put`: remove a Secret that it created, and restore one that it changed. Raises ClusterErrors."""
        there = await self._api.get(SECRET, self.name)
        if there is None:
            return
        if self._made:
            await self._api.delete(there, kind=SECRET)
        elif self._before is not None:
            await self._write(there, self._manifest(self._before))

    @property
    def made(self) -> bool:
        """Whether `put` made it, so that a rollback takes it away again."""
        return self._made

    async def _write(self, there: Object, wanted: Object) -> None:
        metadata = {"resourceVersion": there["metadata"]["resourceVersion"], "ownerReferences": _owners(wanted)}
        await self._api.merge(SECRET, self.name, {"metadata": metadata, "data": wanted["data"]})

    def _check_ours(self, there: Object) -> None:
        labels = there["metadata"].get("labels") or {}
        if labels.get(MANAGED_BY) != DEPLOY or labels.get(WORKLOAD) != self._label:
            raise NotOurs(
                f"secret/{name_of(there)} exists and was not created by Slipway for {self._workload.name}: "
                "it is left as it is",
                action="remove or rename it, and run the same command again",
            )

    @property
    def _label(self) -> str:
        return _short(str(self._workload.name).replace("/", "."), _MAX_LABEL)

    def _manifest(self, auths: Auths) -> Object:
        owner = self._workload.obj
        return {
            "apiVersion": SECRET.api,
            "kind": SECRET.name,
            "type": DOCKER_CONFIG,
            "metadata": {
                "name": self.name,
                "labels": {MANAGED_BY: DEPLOY, WORKLOAD: self._label},
                "ownerReferences": [
                    {
                        "apiVersion": self._workload.name.kind.api,
                        "kind": self._workload.name.kind.name,
                        "name": self._workload.name.name,
                        "uid": owner["metadata"]["uid"],
                    }
                ],
            },
            "data": {KEY: base64.b64encode(docker_config(auths).encode()).decode("ascii")},
        }


def _owners(obj: Object) -> list[Object]:
    found: list[Object] = obj["metadata"]["ownerReferences"]
    return found


def _short(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[: longest - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
