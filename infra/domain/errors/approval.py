"""Approvals: an answer that was no, or none."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class ApprovalError(SlipwayError):
    pass


class ApprovalRefused(ApprovalError):
    default_action = "nothing was changed; run it again when the objection is settled"


class ApprovalTimedOut(ApprovalError):
    default_action = "nothing was changed; run it again, with a longer --approval-timeout-s if need be"


class ApprovalOutdated(ApprovalError):
    default_action = "run it again: what is released has to be what was approved"
