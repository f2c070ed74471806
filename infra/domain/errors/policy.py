"""Policies in Rego."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class PolicyError(SlipwayError):
    pass


class PolicyInvalid(PolicyError):
    default_action = "correct the policy; Rego is as of version 1 (www.openpolicyagent.org/docs)"


class PolicyTimedOut(PolicyError):
    default_action = "simplify the policy, or allow it more time"
