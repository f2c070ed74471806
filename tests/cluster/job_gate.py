"""A team's own flow as a gate: it starts the image as a Kubernetes Job, and passes if that succeeds."""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
from pathlib import Path

from prefect import flow
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

NAME = "started"


def kubectl(namespace: str, *arguments: str, stdin: str | None = None) -> str:
    command = ["kubectl", "-n", namespace, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


@flow(name="job")
async def job(reference: str, namespace: str, pull_secret: str) -> None:
    """Raises RuntimeError with what the container printed if it fails."""
    name = f"gate-{uuid.uuid4().hex[:8]}"
    container = {"name": "image", "image": reference, "command": ["/bin/busybox", "sh", "/check"]}
    pod = {"restartPolicy": "Never", "imagePullSecrets": [{"name": pull_secret}], "containers": [container]}
    spec = {"backoffLimit": 0, "ttlSecondsAfterFinished": 600, "template": {"spec": pod}}
    made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
    await asyncio.to_thread(kubectl, namespace, "create", "--validate=false", "-f", "-", stdin=json.dumps(made))
    for _ in range(300):
        status = json.loads(await asyncio.to_thread(kubectl, namespace, "get", "job", name, "-o", "json"))["status"]
        if status.get("succeeded"):
            return
        if status.get("failed"):
            raise RuntimeError(await asyncio.to_thread(kubectl, namespace, "logs", f"job/{name}"))
        await asyncio.sleep(1)
    raise RuntimeError(f"the job {name} did not end")


async def serve(namespace: str, pull_secret: str) -> None:
    """Until the process is terminated."""
    runner = Runner(query_seconds=1)
    deployment = await job.ato_deployment(
        NAME,
        parameters={"namespace": namespace, "pull_secret": pull_secret},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    await runner.aadd_deployment(deployment)
    await runner.start()


ROOT = Path(__file__).parents[2]
