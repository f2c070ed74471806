"""What a run has created and must remove."""

from __future__ import annotations

from prefect_slipway.flows.run.builder import RunBuilder
from prefect_slipway.flows.run.reservation import ReservedVersion
from prefect_slipway.infra.source import Checkout


class Made:
    """Filled in by the steps in the moment in which they make something: a run may be interrupted in the next one."""

    def __init__(self, builder: RunBuilder) -> None:
        self.builder = builder
        self.checkout: Checkout | None = None
        self.reserved: ReservedVersion | None = None
