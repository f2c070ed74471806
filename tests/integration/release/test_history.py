"""The history of an image's versions, kept by the real server: every release is in it, even of one moment."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from prefect import flow, get_client
from prefect.artifacts import TableArtifact
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterName,
)
from prefect.client.schemas.sorting import ArtifactSort

from prefect_slipway.flows.reporting.artifact_keys import history_key, older_history_key
from prefect_slipway.flows.reporting.history import PastRelease, read_history, remember
from prefect_slipway.infra.domain.naming import image_title
from tests.completing import offered
from tests.integration.release.conftest import Release, commit
from tests.releases import Traces, complaint
from tests.waiting import wait_until
from tests.warm import WarmStarter

RELEASES_AT_ONCE = 12


def _past(number: int) -> PastRelease:
    return PastRelease(
        version=f"0.{number}.0",
        when=f"2026-01-01T00:00:{number:02}Z",
        seconds=1.5,
        steps=4,
        cached=3,
        trigger="schedule nightly",
        digest="sha256:" + f"{number:064}",
        revision="",
        run="",
    )


async def _newest_table(image: str) -> list[str]:
    """The versions in the newest of the artifact's versions, which is what the UI shows first."""
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[history_key(image)])),
            sort=ArtifactSort.CREATED_DESC,
            limit=1,
        )
    return [row["version"] for row in json.loads(str(found[0].data))]


async def test_releases_at_one_moment_lose_no_row(run_release: Release) -> None:
    """A dozen releases that all read the same table: the last table that is written has them all."""

    @flow(name="race")
    async def race() -> None:
        async with get_client() as client:
            await remember(client, "r.example/raced", _past(0))
            await asyncio.gather(
                *(remember(client, "r.example/raced", _past(n)) for n in range(1, RELEASES_AT_ONCE + 1))
            )

    await race()
    expected = [f"0.{n}.0" for n in range(RELEASES_AT_ONCE, -1, -1)]
    assert await _newest_table("r.example/raced") == expected


async def test_a_row_that_a_killed_release_hid_comes_back(run_release: Release) -> None:
    """A release was killed after it had written its table from an older one: the next one finds what that hid."""

    @flow(name="hidden")
    async def hidden() -> None:
        async with get_client() as client:
            await remember(client, "r.example/hidden", _past(1))
            await TableArtifact(table=[asdict(_past(2))], key=history_key("r.example/hidden")).acreate(client)
            assert [row.version for row in await read_history(client, "r.example/hidden")] == ["0.2.0", "0.1.0"]
            await remember(client, "r.example/hidden", _past(3))

    await hidden()
    assert await _newest_table("r.example/hidden") == ["0.3.0", "0.2.0", "0.1.0"]


async def test_the_command_shows_what_was_released(
    run_release: Release, repository: Path, commands: WarmStarter
) -> None:
    """Each version with digest, when, how long, cached share, trigger, revision and run; newest first, text or JSON."""
    first = await run_release(source=str(repository))
    commit(repository, "feat: more", message="more\n")
    second = await run_release(source=str(repository), bump="major")
    shown = commands.run("history", repository.name, "--format", "json")
    rows = json.loads(shown.stdout)
    assert [row["version"] for row in rows] == ["1.0.0", "0.1.0"]
    assert [row["digest"] for row in rows] == [second.digest, first.digest]
    assert [row["revision"] for row in rows] == [second.revision, first.revision]
    assert [row["run"] for row in rows] == [second.ui_url, first.ui_url]
    assert [(row["steps"], row["cached"]) for row in rows] == [(r.steps, r.cached_steps) for r in (second, first)]
    assert {row["trigger"] for row in rows} == {"command line"}
    text = commands.run("history", second.image).stdout
    assert [line.split()[0] for line in text.splitlines()] == ["VERSION", "1.0.0", "0.1.0"]


async def test_an_image_that_was_never_released_is_no_success(run_release: Release, commands: WarmStarter) -> None:
    """Exit code 1 in either form, and names that are like it."""

    @flow(name="known")
    async def known() -> None:
        async with get_client() as client:
            await remember(client, "r.example/team/known", _past(1))

    await known()
    for output in ("text", "json"):
        said = complaint(commands.run("history", "r.example/team/knwon", "--format", output))
        assert said.startswith("the Prefect server has no release of r.example/team/knwon\nNext: check the name")
        assert "r.example/team/known" in said


async def test_what_the_older_keys_hold_is_not_lost(run_release: Release) -> None:
    """A table that an earlier Slipway wrote is read, and goes on in the next release's."""
    image = "r.example/older"

    @flow(name="older")
    async def older() -> None:
        await TableArtifact(table=[asdict(_past(1))], key=older_history_key(image)).acreate()
        async with get_client() as client:
            assert [row.version for row in await read_history(client, image)] == ["0.1.0"]
            await remember(client, image, _past(2))

    await older()
    assert await _newest_table(image) == ["0.2.0", "0.1.0"]


async def test_a_subflows_release_is_triggered_by_its_parent(run_release: Release, source: Path) -> None:
    """Its history, its report and its links name the run that started it."""

    @flow(name="chain", flow_run_name="nightly chain")
    async def chain() -> str:
        return str((await run_release(source=str(source))).image)

    image = await chain()
    async with get_client() as client:
        assert [row.trigger for row in await read_history(client, image)] == ["run nightly chain"]
        artifacts = await client.read_artifacts(
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[f"release {image_title(image)} 0.1.0"])),
        )
    shown = {str(artifact.description): str(artifact.data) for artifact in artifacts}
    assert "[nightly chain](http" in shown["Parent"]
    assert f"[{image}](http" in shown["Versions"]
    assert "Registry" not in shown, "the embedded one has no page"
    assert "| parent | [nightly chain](<http" in shown[f"{image} 0.1.0 released"]


@pytest.mark.usefixtures("run_release")
async def test_what_was_released_is_completed(tmp_path: Path, traces: Traces) -> None:
    """Images by name, and the versions of one; bash takes a colon for the end of a word."""
    image, here = "r.example/team/completed", f"{traces.connection.registry}/here-completed"

    @flow(name="completed")
    async def completed() -> None:
        async with get_client() as client:
            await remember(client, image, _past(1))
            await remember(client, here, _past(2))

    await completed()
    env = {**os.environ, "SLIPWAY_HOME": str(traces.connection.home)}
    # A busy machine answers too late for a shell, which gets nothing then, and asks again.
    wait_until(lambda: offered(tmp_path, f"slipway history {image[:-2]}", env) == [image])
    wait_until(
        lambda: (
            [word.rpartition(":")[2] for word in offered(tmp_path, f"slipway deploy {image}:", env)]
            == [_past(1).version]
        )
    )

    def offers(words: str, expected: list[str]) -> None:
        wait_until(lambda: offered(tmp_path, f"slipway {words}", env) == expected)

    offers("history here-com", ["here-completed"])
    offers("verify here-completed:", [f"here-completed:{_past(2).version}"])
    offers(f"inspect {here}:", [f"{here}:{_past(2).version}"])
    offers("deploy here-com", [])
