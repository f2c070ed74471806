"""A private engine that both our client and docker buildx build on, or the daemon that SLIPWAY_TEST_BUILDER names."""

from __future__ import annotations

from tests.contract.buildkit.conftest import engine

__all__ = ["engine"]
