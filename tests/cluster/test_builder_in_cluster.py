"""The builder's contract on a real cluster, and what only one can show."""

from __future__ import annotations

from tests.kubernetes.contract import BuilderContract


class TestBuilderInCluster(BuilderContract):
    pass
