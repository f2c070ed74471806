"""Components of a monorepo."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class ComponentsFailed(SlipwayError):
    default_action = "fix the causes and run the same command again: it releases those that are missing"
