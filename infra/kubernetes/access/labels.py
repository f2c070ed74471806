"""The labels by which Slipway recognises its own objects."""

from __future__ import annotations

MANAGED_BY = "app.kubernetes.io/managed-by"
RUN = "slipway.dev/run"
BUILDER = "slipway.dev/builder"
USES = "slipway.dev/uses"
"""On a run's Lease: the shared builder it builds at."""
SHELL = "slipway.dev/shell"
"""On a run's Lease: the `buildkit-cli` pod that it has opened a session in; on that pod as well, by its own name."""
CLIENT = "slipway.dev/client"
"""A pod with `CLIENT: NAME` may reach the builder NAME (NetworkPolicy)."""
SLIPWAY = "slipway"
SHARED_RUN = "shared"
"""The run label of a shared builder's objects: they belong to no run."""
