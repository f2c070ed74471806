"""A release for schedules: with nothing new since the last version it is a success that cost no builder."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.registry.client import RegistryClient
from tests.integration.release.conftest import Release, commit, git, make_source
from tests.releases import Traces

# Nobody listens there: a release that asks for its builder fails.
NO_BUILDER = "tcp://127.0.0.1:9"


async def _steps_of(result: ReleaseResult) -> set[str]:
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(result.flow_run_id)]))
    async with get_client() as client:
        return {run.name for run in await client.read_task_runs(flow_run_filter=mine)}


async def test_nothing_new_costs_no_builder(run_release: Release, repository: Path, traces: Traces) -> None:
    """The same commit again: Completed with a message that says so, nothing reserved, no builder looked for."""
    await run_release(source=str(repository))
    again = await run_release(source=str(repository), version={"only_new": True}, builder={"address": NO_BUILDER})
    assert (again.released, again.version, again.reason) == (False, None, "nothing new since 0.1.0")
    assert "provision builder" not in await _steps_of(again)
    async with get_client() as client:
        run = await client.read_flow_run(UUID(again.flow_run_id))
    assert run.state is not None
    assert (run.state.type.value, run.state.message) == ("COMPLETED", "nothing to release: nothing new since 0.1.0")
    assert git(repository, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main", "refs/tags/v0.1.0"]
    traces.assert_nothing_left()


async def test_a_new_commit_is_released(run_release: Release, repository: Path) -> None:
    """What is new is released as ever, the first version included; an older commit's tag is no obstacle."""
    assert (await run_release(source=str(repository), version={"only_new": True})).version == "0.1.0"
    commit(repository, "chore: tidy", message="tidied\n")
    assert (await run_release(source=str(repository), version={"only_new": True}, bump="patch")).version == "0.1.1"
    assert not (
        await run_release(
            source=str(repository), version={"only_new": True}, bump="patch", builder={"address": NO_BUILDER}
        )
    ).released


async def test_auto_without_a_releasing_commit_costs_no_builder(run_release: Release, repository: Path) -> None:
    """With --bump auto the commits decide, also before a builder is made."""
    await run_release(source=str(repository))
    commit(repository, "chore: tidy", message="tidied\n")
    nothing = await run_release(
        source=str(repository), version={"only_new": True}, bump="auto", builder={"address": NO_BUILDER}
    )
    assert not nothing.released
    assert "is no feature" in nothing.reason
    assert "provision builder" not in await _steps_of(nothing)


async def test_a_prerelease_does_not_make_the_release_superfluous(run_release: Release, repository: Path) -> None:
    """The commit of a release candidate is released as the stable version, once."""
    assert (await run_release(source=str(repository), bump="prerelease")).version == "0.1.0-rc.1"
    assert not (await run_release(source=str(repository), version={"only_new": True}, bump="prerelease")).released
    assert (await run_release(source=str(repository), version={"only_new": True})).version == "0.1.0"
    assert not (await run_release(source=str(repository), version={"only_new": True})).released


async def test_a_part_of_a_repository_has_news_of_its_own(run_release: Release, tmp_path: Path) -> None:
    """Commits elsewhere in the repository are nothing new, whether git or the registry holds the versions."""
    mono = tmp_path / f"mono{abs(hash(tmp_path)) % 10**6}"
    part = make_source(mono / f"part{abs(hash(tmp_path)) % 10**6}")
    git(mono, "init", "--quiet", "--initial-branch=main")
    commit(mono, "feat: all")
    versions: tuple[dict[str, object], ...] = ({}, {"tag_prefix": "part/v"})
    for options in versions:
        request: dict[str, object] = {"source": str(part), "version": {"only_new": True, **options}}
        await run_release(**(request | {"version": options}))
        commit(mono, "feat: elsewhere", other=f"{options}\n")
        assert not (await run_release(**request, builder={"address": NO_BUILDER})).released
        commit(mono, "feat: here", **{f"{part.name}/message": f"{options}\n"})
        assert (await run_release(**request)).released


async def test_a_plain_directory_is_known_by_its_image(
    run_release: Release, source: Path, registry: RegistryClient
) -> None:
    """Without git the last image says what it was made of; another option makes another image."""
    await run_release(source=str(source))
    assert not (
        await run_release(source=str(source), version={"only_new": True}, builder={"address": NO_BUILDER})
    ).released
    assert (await run_release(source=str(source), version={"only_new": True}, build_args={"A": "b"})).version == "0.2.0"
    (source / "message").write_text("another\n")
    assert (await run_release(source=str(source), version={"only_new": True})).version == "0.3.0"
    assert sorted(await registry.tags(source.name)) == ["0.1.0", "0.2.0", "0.3.0"]
