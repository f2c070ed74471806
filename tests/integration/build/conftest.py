"""A private engine that both our command and docker buildx build on."""

from __future__ import annotations

from tests.contract.buildkit.conftest import engine

__all__ = ["engine"]
