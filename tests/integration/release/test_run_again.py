"""A run that is run again by its *Retry*, or because its pod was told to go: it releases what it was to, not more."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from prefect import Flow, get_client
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from prefect_slipway.flows.release import release
from prefect_slipway.flows.request.bake import Bake
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.infra.registry.client import RegistryClient
from tests.integration.release.conftest import Release, commit, git
from tests.releases import Traces

BAKE = json.dumps({"group": {"default": {"targets": ["app"]}}, "target": {"app": {"dockerfile": "Dockerfile"}}})


# A flow of ours, whichever it is: called, it gives what is awaited.
AnyFlow = Flow[Any, Coroutine[Any, Any, Any]]


async def run_again(flow: AnyFlow, run: str, request: Any) -> Any:
    async with get_client() as client:
        await client.set_flow_run_state(UUID(run), AwaitingRetry(), force=True)
        flow_run = await client.read_flow_run(UUID(run))
    running = run_flow(flow, flow_run=flow_run, parameters={"request": request})
    return await cast(Awaitable[Any], running)


def of_one(source: Path) -> tuple[AnyFlow, Any, str]:
    return release, ReleaseRequest(source=str(source)), source.name


def of_a_set(source: Path) -> tuple[AnyFlow, Any, str]:
    commit(source, "feat: a set", **{"docker-bake.json": BAKE})
    return release, ReleaseRequest(source=str(source), bake=Bake()), f"{source.name}/app"


@pytest.mark.parametrize("kind", [of_one, of_a_set])
@pytest.mark.usefixtures("run_release")
async def test_a_run_whose_release_was_done_releases_nothing_more(
    repository: Path,
    registry: RegistryClient,
    traces: Traces,
    kind: Callable[[Path], tuple[AnyFlow, Any, str]],
) -> None:
    """Killed after it had cleaned up, before its end was known: the same commit gets no second version. Another run of
    the same neither, unless that is what it asks for."""
    flow, request, name = kind(repository)
    first = await flow(request)
    again = await run_again(flow, first.flow_run_id, request)
    assert (again.version, again.released, again.reason) == (
        first.version,
        True,
        "exactly this release exists already",
    )
    assert await registry.tags(name) == ["0.1.0"]
    assert git(repository, "tag") == "v0.1.0"
    traces.assert_nothing_left()
    assert not (await flow(request)).released
    assert (await flow(request.changed({"version": {"again": True}}))).version == "0.2.0"


async def test_a_run_whose_version_went_to_another_commit_gets_the_next(
    run_release: Release, repository: Path, registry: RegistryClient
) -> None:
    """What it was to release is somebody else's now."""
    first = await run_release(source=str(repository))
    commit(repository, "feat: more", message="other\n")
    assert first.flow_run_id is not None
    again = await run_again(release, first.flow_run_id, ReleaseRequest(source=str(repository)))
    assert again.version == "0.2.0"
    assert sorted(await registry.tags(repository.name)) == ["0.1.0", "0.2.0"]
