"""A cache in GitHub's Actions cache, whose server is played: the daemon is real, and so is what we tell it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.build.events import BuildEvent
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.errors import BuildError
from tests.contract.buildkit.actions_cache import actions_cache
from tests.contract.buildkit.parts import BASE, Engine, build, output_of, run

Context = Callable[[str], Path]


async def forget(engine: Engine) -> None:
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        async for _ in builder.prune(everything=True):
            pass


@pytest.mark.parametrize("second", [False, True], ids=["v1", "v2"])
async def test_a_cache_at_github(
    engine: Engine, context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, second: bool
) -> None:
    """What one job exports makes the next one's build a cached one, by what the runner's environment says alone: over
    the second version of the API where the runner offers and the daemon knows it. The token shows nowhere."""
    folder = context(BASE + run(f"echo {second} > /one") + run("echo two > /two"))
    events: list[BuildEvent] = []
    with caplog.at_level(logging.DEBUG), actions_cache() as server:
        for name, value in server.runner.items():
            monkeypatch.setenv(name, value)
        if second:
            monkeypatch.setenv("ACTIONS_CACHE_SERVICE_V2", "True")
            monkeypatch.setenv("ACTIONS_RESULTS_URL", f"{server.base}/two/")
        entry = CacheEntry("gha", {"scope": "tests"})
        export = CacheEntry("gha", {"scope": "tests", "mode": "max"})
        await build(engine.address, folder, cache_exports=(export,), events=events, no_cache=True)
        await forget(engine)
        outcome = await build(engine.address, folder, cache_imports=(entry,), events=events)
        assert outcome.cached_steps == outcome.steps == 3
        assert server.refused == 0
        # Daemons know the second version since v0.20.
        assert server.used in ([{1}, {2}] if second else [{1}])
        assert len(server.saved) >= 4
    shown = caplog.text + output_of(events) + repr(events) + repr(outcome)
    assert server.token not in shown


async def test_a_token_that_github_refuses(
    engine: Engine, context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An export that is refused fails the build with the server's words, and without the token."""
    with actions_cache() as server, pytest.raises(BuildError, match="no such token here") as refused:
        for name, value in server.runner.items():
            monkeypatch.setenv(name, value)
        server.token += "x"
        await build(engine.address, context(BASE), cache_exports=(CacheEntry("gha"),))
    assert server.refused
    assert server.runner["ACTIONS_RUNTIME_TOKEN"].partition(".")[2][:20] not in str(refused.value) + caplog.text
