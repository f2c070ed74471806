"""Slipway's flows where people have them: installed from the wheel, in a folder and a repository of their own."""

from __future__ import annotations

import pytest

from tests.installed import Installed, install

# A cluster in this process, with the session's real registry, Vault and Prefect server.
from tests.integration.deploy.conftest import (  # noqa: F401
    images,
    kubernetes,
    place,
    prefect_client,
    pytest_itemcollected,
    pytest_runtest_teardown,
)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(tmp_path_factory.mktemp("installed"))
