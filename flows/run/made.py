"""What a run has created and must remove."""

from __future__ import annotations

from prefect_slipway.flows.run.builder import RunBuilder
from prefect_slipway.flows.run.reservation import ReservedVersion
from prefect_slipway.infra.source.checkout import Checkout


class Made:
    """The steps fill it in as soon as they create something, because a run may be interrupted right after."""

    def __init__(self, builder: RunBuilder) -> None:
        self.builder = builder
        self.checkout: Checkout | None = None
        self.reserved: ReservedVersion | None = None
