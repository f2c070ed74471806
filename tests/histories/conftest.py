"""A registry of its own, without a stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import registry_server


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as host:
        yield host
