"""What a deploy has changed."""

from __future__ import annotations

from prefect_slipway.infra.kubernetes.workloads.pull_secret import PullSecret
from prefect_slipway.infra.kubernetes.workloads.workload import WorkloadState


class Changes:
    """Filled in by the steps in the moment in which they change something: a run may be interrupted in the next one.

    `workload`: as it was after its image was set.
    """

    def __init__(self) -> None:
        self.pull_secret: PullSecret | None = None
        self.workload: WorkloadState | None = None
