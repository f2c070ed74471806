"""Gates between an image and its tag."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class GateError(SlipwayError):
    """An image that did not pass its gates. Nothing of its release is public, and its version is free."""


class GateFailed(GateError):
    default_action = "fix what the gate found and release again, or write a waiver for it"


class GateTimedOut(GateError):
    default_action = "run the same command again, with a longer --gate-timeout-s if the gate needs more time"


class GateMissing(GateError):
    default_action = "check the gate's program, deployment or file"


class GateForbidden(GateError):
    default_action = "ask who runs the worker to allow the program there: SLIPWAY_GATE_COMMANDS"


class WaiverInvalid(GateError):
    default_action = "correct the waivers: each [[waiver]] has gate, finding, by, reason and until"
