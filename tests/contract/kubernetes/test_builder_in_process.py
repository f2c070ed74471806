"""The builder's contract on the Kubernetes in this process."""

from __future__ import annotations

import pytest

from tests.kubernetes.contract import BuilderContract

pytestmark = pytest.mark.root


class TestBuilderInProcess(BuilderContract):
    pass
