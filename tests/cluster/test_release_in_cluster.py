"""A whole release on a real cluster."""

from __future__ import annotations

from tests.kubernetes.release_contract import ReleaseContract


class TestReleaseInCluster(ReleaseContract):
    pass
