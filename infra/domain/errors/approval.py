"""Approvals: rejected, timed out or outdated."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class ApprovalError(SlipwayError):
    pass


class ApprovalRefused(ApprovalError):
    default_action = "nothing was changed; run the same command again when the objection is settled"


class ApprovalTimedOut(ApprovalError):
    default_action = (
        "nothing was changed; run the same command again, with a longer --approval-timeout-s if you need more time"
    )


class ApprovalOutdated(ApprovalError):
    default_action = "run the same command again: Slipway only releases what was approved"
