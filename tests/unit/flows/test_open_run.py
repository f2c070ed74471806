"""What a run opens, where nothing runs on this machine."""

from pathlib import Path

import pytest

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import open_run
from prefect_slipway.infra.domain.errors import StackDown


async def test_what_builds_nothing_needs_no_builder(tmp_path: Path) -> None:
    """A tag is written, a version planned; the missing builder is told where one is looked for."""
    async with open_run(ReleaseRequest(image="r.example/app"), {"SLIPWAY_HOME": str(tmp_path)}) as run:
        assert run.image("app").name == "r.example/app"
        for asked in (run.builder.check, run.builder.nodes):
            with pytest.raises(StackDown, match="no builder was given"):
                await asked("r.example")
