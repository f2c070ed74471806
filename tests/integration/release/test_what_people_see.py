"""The run in Prefect: name, tags, state, log, progress, report; and saved blocks as part of a request."""

from __future__ import annotations

import asyncio
import base64
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow, get_client, tags, task
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, Log
from prefect.logging.handlers import APILogHandler
from prefect.runtime import flow_run

from prefect_slipway.blocks import Builder, Registry, Source
from prefect_slipway.infra.domain.errors import InvalidOption, StepFailed
from tests.conftest import RunningStack
from tests.integration.release.conftest import Release


async def _run_of(flow_run_id: str | None) -> FlowRun:
    async with get_client() as client:
        return await client.read_flow_run(UUID(flow_run_id))


async def _run_named(name: str) -> FlowRun:
    """Not just the newest: what a schedule has planned counts as newer."""
    named = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
    async with get_client() as client:
        (run,) = await client.read_flow_runs(flow_run_filter=named)
        return run


async def _log_of(flow_run_id: UUID) -> str:
    await APILogHandler.aflush()
    records: list[Log] = []
    async with get_client() as client:
        while True:
            page = await client.read_logs(
                LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id])), limit=200, offset=len(records)
            )
            records += page
            if len(page) < 200:
                return "\n".join(record.message for record in records)


async def _artifacts_of(flow_run_id: UUID) -> list[Artifact]:
    async with get_client() as client:
        return await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        )


async def test_a_run_is_named_after_image_and_version(run_release: Release, source: Path) -> None:
    """The list of runs reads like a list of releases, and each links from its result."""
    result = await run_release(source=str(source))
    run = await _run_of(result.flow_run_id)
    assert run.name == f"release {source.name} 0.1.0"
    assert {f"image:{source.name}", "version:0.1.0"} <= set(run.tags)
    assert run.state is not None
    assert run.state.message == f"{result.image} 0.1.0 released"
    assert result.ui_url is not None and str(run.id) in result.ui_url


async def test_the_runs_tags_are_not_those_of_its_steps(run_release: Release, source: Path) -> None:
    """Each tag of a task costs a question to the server about a limit."""
    with tags("slipway"):
        result = await run_release(source=str(source))
    assert "slipway" in (await _run_of(result.flow_run_id)).tags
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(result.flow_run_id)]))
    async with get_client() as client:
        # The server writes them down in its own time.
        while not (steps := await client.read_task_runs(flow_run_filter=mine)):
            await asyncio.sleep(0.1)
    assert [run.tags for run in steps] == [[]] * len(steps)


async def test_a_run_with_nothing_to_release_says_so(run_release: Release, repository: Path) -> None:
    """It is a success, named and explained."""
    await run_release(source=str(repository))
    result = await run_release(source=str(repository), bump="auto")
    run = await _run_of(result.flow_run_id)
    assert run.state is not None and run.state.is_completed()
    assert "nothing to release" in (run.state.message or "")
    assert run.name == f"release {repository.name}: nothing to release"


async def test_the_complete_build_log_is_in_the_run(run_release: Release, source: Path) -> None:
    """Twenty thousand lines arrive, each once and in order, in few records."""
    (source / "Dockerfile").write_text('FROM scratch\nCOPY busybox /busybox\nRUN ["/busybox", "seq", "20000"]\n')
    result = await run_release(source=str(source))
    log = await _log_of(UUID(result.flow_run_id))
    numbers = [int(n) for n in re.findall(r"^#\d+ [\d.]+ (\d+)$", log, re.MULTILINE)]
    assert numbers == list(range(1, 20001))


async def test_the_log_names_the_steps_that_are_over(run_release: Release, source: Path) -> None:
    """Each by its name; a task of somebody's own flow as Prefect does it."""
    result = await run_release(source=str(source))
    log = (await _log_of(UUID(result.flow_run_id))).splitlines()
    assert {"plan version: completed", "build and push: completed", "verify: completed"} <= set(log)
    assert "Finished in state Completed()" not in log

    @task
    async def own() -> None:
        """One that is not Slipway's."""

    @flow
    async def somebodys() -> str:
        await own()
        return str(flow_run.id)

    assert "Finished in state Completed()" in (await _log_of(UUID(await somebodys()))).splitlines()


async def test_the_report_is_an_artifact_with_a_picture(run_release: Release, source: Path) -> None:
    """A Markdown report under the image's own key, its timeline a well-formed picture; progress ended at 100."""
    (source / "Dockerfile").write_text('FROM scratch\nCOPY busybox /busybox\nRUN ["/busybox", "sleep", "1.5"]\n')
    result = await run_release(source=str(source))
    artifacts = await _artifacts_of(UUID(result.flow_run_id))
    (report,) = (artifact for artifact in artifacts if str(artifact.key).startswith("release-"))
    assert report.key is not None and source.name in report.key
    (progress,) = (artifact for artifact in artifacts if artifact.type == "progress")
    picture = re.search(r"!\[timeline\]\(data:image/svg\+xml;base64,([^)]+)\)", str(report.data))
    assert picture is not None
    assert "sleep" in ElementTree.tostring(ElementTree.fromstring(base64.b64decode(picture[1])), encoding="unicode")
    assert re.search(rf"^docker .*pull {result.reference}$", str(report.data), re.MULTILINE)
    assert progress.data == 100.0


async def test_a_failed_run_keeps_its_report_and_cause(run_release: Release, source: Path) -> None:
    """State, report and log of a failed release tell which step failed, with its last lines; no version is burnt."""
    (source / "Dockerfile").write_text(
        'FROM scratch\nCOPY busybox /busybox\nRUN ["/busybox", "sh", "-c", "echo the real reason; exit 7"]\n'
    )
    with pytest.raises(StepFailed) as raised:
        await run_release(source=str(source))
    assert raised.value.status == 7
    run = await _run_named(f"release {source.name} 0.1.0")
    assert run.state is not None and run.state.is_failed()
    assert "StepFailed" in (run.state.message or "")
    reports = [artifact for artifact in await _artifacts_of(run.id) if str(artifact.key).startswith("release-")]
    assert "the real reason" in str(reports[0].data)
    assert "#d64545" in base64.b64decode(str(reports[0].data).partition("base64,")[2].partition(")")[0]).decode()
    log = await _log_of(run.id)
    assert "the real reason" in log
    assert re.search(r"^Finished in state Failed\(", log, re.MULTILINE)
    (source / "Dockerfile").write_text("FROM scratch\nCOPY busybox /busybox\n")
    assert (await run_release(source=str(source))).version == "0.1.0"


async def test_blocks_stand_for_what_options_say(run_release: Release, source: Path, stack: RunningStack) -> None:
    """A source, a builder and a registry that were saved once are released by their names."""
    connection = stack.connection
    assert connection.registry is not None and connection.registry_secret is not None
    await Source(source=str(source)).asave("app", overwrite=True)
    await Builder(address=connection.builder, network="host").asave("engine", overwrite=True)
    await Registry(host=connection.registry, credential=connection.registry_secret, insecure=True).asave(
        "here", overwrite=True
    )
    result = await run_release(
        source="block:app",
        builder={"address": "block:engine"},
        credentials={"registries": ["block:here"]},
        image=f"{connection.registry}/{source.name}",
    )
    assert result.released
    with pytest.raises(InvalidOption, match=r"there is no .* block"):
        await run_release(source="block:absent")
