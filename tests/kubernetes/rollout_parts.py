"""Images that behave well or badly, and workloads that run them: what the tests of rollouts need on any cluster."""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_slipway.infra.domain.labels import OCI_VERSION
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    POD,
    STATEFUL_SET,
    Kind,
    Object,
)
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName
from tests.images import Pusher

READY = "/ready"
LAST_WORDS = "cannot open the ledger"
_STAYS = "exec /bin/busybox sleep 3600"
# What an image does when it runs; a readiness probe looks for READY, a liveness probe for no /dead.
BEHAVIOURS = {
    "good": f"echo hello; echo > {READY}; {_STAYS}",
    "better": f"echo hello again; echo > {READY}; {_STAYS}",
    "crashing": f"echo {LAST_WORDS}; exit 3",
    "greedy": "exec /bin/busybox tail /dev/zero",
    "unready": f"echo not yet; {_STAYS}",
    "dying": f"echo > {READY}; echo > /dead; {_STAYS}",
}


@dataclass(frozen=True)
class Images:
    """References by digest, by behaviour. `repository`: REGISTRY/REPOSITORY."""

    repository: str
    digests: dict[str, str]

    def __getitem__(self, behaviour: str) -> str:
        return f"{self.repository}@{self.digests[behaviour]}"

    def behaviour(self, image: str) -> str | None:
        """Of an image by digest, None for one that is not there."""
        found = {digest: behaviour for behaviour, digest in self.digests.items()}
        return found.get(image.partition("@")[2])


def push_images(host: str, repository: str, auth: tuple[str, str] | None) -> Images:
    """One image for each behaviour, tagged with a version: good is 1.0.0, better 1.1.0 and so on."""
    layer = _busybox()
    digests = {}
    with Pusher(host, repository, auth) as pusher:
        for number, (behaviour, script) in enumerate(BEHAVIOURS.items()):
            version, command = f"1.{number}.0", ["/bin/busybox", "sh", "-c", script]
            labels = {OCI_VERSION: version}
            digests[behaviour] = pusher.image(version, labels=labels, layers=(layer,), command=command)["digest"]
    return Images(f"{host}/{repository}", digests)


def version_of(behaviour: str) -> str:
    return f"1.{list(BEHAVIOURS).index(behaviour)}.0"


def workload(kind: Kind, image: str, *, name: str = "app", replicas: int = 1, probes: bool = True) -> Object:
    """A workload of a kind, with a sidecar-less pod that ends at once when it is told to."""
    container: Object = {
        "name": "app",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": {"memory": "32Mi"}, "requests": {"cpu": "1m", "memory": "4Mi"}},
    }
    if probes:
        container["readinessProbe"] = _probe("test", "-e", READY)
        container["livenessProbe"] = _probe("test", "!", "-e", "/dead")
    pod: Object = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec: Object = {"selector": {"matchLabels": labels}, "template": template}
    if kind in (DEPLOYMENT, STATEFUL_SET):
        spec["replicas"] = replicas
    if kind is STATEFUL_SET:
        spec["serviceName"] = name
    if kind is CRON_JOB:
        pod["restartPolicy"] = "Never"
        spec = {"schedule": "0 0 31 2 *", "jobTemplate": {"spec": {"template": template}}}
    return {"apiVersion": kind.api, "kind": kind.name, "metadata": {"name": name}, "spec": spec}


async def make(api: KubernetesApi, kind: Kind, image: str, **options: Any) -> WorkloadName:
    """Make a workload; it is not waited for."""
    obj = workload(kind, image, **options)
    await api.create(obj)
    return WorkloadName(kind, obj["metadata"]["name"])


async def running_images(api: KubernetesApi, name: str = "app") -> set[str]:
    """The images of the pods that are there."""
    pods = await api.find(POD, f"app={name}")
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return {pod["spec"]["containers"][0]["image"] for pod in alive}


ROLLING_KINDS = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)


def _probe(*command: str) -> Object:
    # A busy node takes long to start a process, which is no failure of the program.
    return {"exec": {"command": ["/bin/busybox", *command]}, "periodSeconds": 1, "timeoutSeconds": 20}


def _busybox() -> bytes:
    """A layer that holds busybox alone, the same bytes each time."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for folder in ("bin", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        content = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
