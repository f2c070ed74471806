"""A whole release on the Kubernetes in this process."""

from __future__ import annotations

import pytest

from tests.kubernetes.release_contract import ReleaseContract

pytestmark = pytest.mark.root


class TestReleaseInProcess(ReleaseContract):
    pass
