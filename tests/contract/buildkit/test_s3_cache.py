"""A cache in S3, whose server is played: a buildkitd reads and writes it with the keys of our environment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.build.events import BuildEvent
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.errors import BuildError, InvalidOption
from tests.contract.buildkit.parts import BASE, Engine, build, output_of, run
from tests.contract.buildkit.s3 import s3

Context = Callable[[str], Path]


async def test_a_cache_in_s3(
    engine: Engine, context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was exported makes the build of a daemon that has forgotten everything a cached one; keys and session come
    from AWS_* and show nowhere. A Docker engine knows no such cache, and that is what is said."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hush-session")
    folder = context(BASE + run("echo one > /one") + run("echo in s3 > /two"))
    events: list[BuildEvent] = []
    with caplog.at_level(logging.DEBUG), s3("AKIDTEST", "hush-session") as server:
        place = {
            "endpoint_url": f"http://127.0.0.1:{server.server_port}",
            "use_path_style": "true",
            "bucket": "cache",
            "region": "none-1",
        }
        export = CacheEntry("s3", {**place, "mode": "max"})
        if engine.is_docker:
            with pytest.raises(InvalidOption, match="does not support the cache type 's3'"):
                await build(engine.address, folder, cache_exports=(export,))
            return
        await build(engine.address, folder, cache_exports=(export,), no_cache=True, events=events)
        assert "/cache/manifests/buildkit" in server.objects
        async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
            async for _ in builder.prune(everything=True):
                pass
        outcome = await build(engine.address, folder, cache_imports=(CacheEntry("s3", place),), events=events)
        assert outcome.cached_steps == outcome.steps == 3
        assert server.refused == 0
        server.key = "AKIDOTHER"
        with pytest.raises(BuildError, match="Forbidden") as refused:
            await build(engine.address, folder, cache_exports=(export,))
    shown = caplog.text + output_of(events) + repr(events) + repr(outcome) + str(refused.value)
    assert "hush" not in shown
