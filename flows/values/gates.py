"""What gates answered: plain values that Prefect can store and show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prefect_slipway.infra.signing.gate_result import Waiver

Outcome = Literal["passed", "warned", "failed", "timed out"]


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """What a gate answered about an image (`REGISTRY/REPOSITORY@DIGEST`).

    `why`: "" where there is nothing to say. `failed`, `warned`: its findings. `waivers`: those that let findings pass.
    `output`: the last lines. `url`: the deployment's run, and `links`: its artifacts, "" and none where there is no UI.
    `report`: the media type of the gate's report, "" without one.
    """

    gate: str
    kind: str
    image: str
    outcome: Outcome
    seconds: float
    why: str = ""
    failed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    output: tuple[str, ...] = ()
    url: str = ""
    links: tuple[str, ...] = ()
    report: str = ""

    @property
    def holds(self) -> bool:
        return self.outcome in {"passed", "warned"}

    @property
    def said(self) -> str:
        """In a line."""
        waived = f", {len(self.waivers)} waived" if self.waivers else ""
        why = f": {self.why}" if self.why and self.outcome != "passed" else ""
        return f"{self.gate} {self.outcome} in {self.seconds:.1f} s{waived}{why}"
