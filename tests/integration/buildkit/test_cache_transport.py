"""A cache goes out and comes back: through a registry, in the image, in a folder of this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.build.outputs import ImagePush
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.errors import OutputError
from tests.contract.buildkit.parts import BASE, Engine, build, busybox_context, run
from tests.integration.buildkit.buildx import buildx
from tests.servers import registry_server

DOCKERFILE = BASE + run("echo expensive > /result") + run("echo more > /more")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as host:
        yield host


async def forget(engine: Engine) -> None:
    """Empty the daemon's own cache."""
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        async for _ in builder.prune(everything=True):
            pass


def unique(folder: Path, dockerfile: str) -> str:
    return dockerfile + f"LABEL of={folder.parent.name}-{os.getpid()}\n" + run(f"echo {folder.parent.name} > /own")


async def test_through_a_registry(engine: Engine, registry: str, tmp_path: Path) -> None:
    """A cache exported to a registry makes the build of a daemon that has forgotten everything a cached one."""
    folder = busybox_context(tmp_path / "context", unique(tmp_path / "context", DOCKERFILE))
    entry = CacheEntry("registry", {"ref": f"{registry}/cache:1", "mode": "max", "registry.insecure": "true"})
    await build(engine.address, folder, cache_exports=(entry,))
    await forget(engine)
    outcome = await build(engine.address, folder, cache_imports=(entry,))
    assert outcome.cached_steps == outcome.steps == 4


async def test_in_the_image(engine: Engine, registry: str, tmp_path: Path) -> None:
    """A cache that travels inside the image is found there."""
    folder = busybox_context(tmp_path / "context", unique(tmp_path / "context", DOCKERFILE))
    name = f"{registry}/app:1"
    await build(engine.address, folder, output=ImagePush(name), cache_exports=(CacheEntry("inline"),))
    await forget(engine)
    outcome = await build(engine.address, folder, cache_imports=(CacheEntry("registry", {"ref": name}),))
    assert outcome.cached_steps == outcome.steps == 4


async def test_in_a_folder(engine: Engine, tmp_path: Path) -> None:
    """A cache in a folder is written blob by blob, named in its index by tags, and found again by tag or digest."""
    folder = busybox_context(tmp_path / "context", unique(tmp_path / "context", DOCKERFILE))
    cache = tmp_path / "cache dir"
    first = CacheEntry("local", {"dest": str(cache), "mode": "max"})
    outcome = await build(
        engine.address, folder, cache_exports=(first,), cache_imports=(CacheEntry("local", {"src": str(cache)}),)
    )
    assert outcome.cached_steps < outcome.steps, "a cache that is not there yet is no error"
    second = CacheEntry("local", {"dest": str(cache), "mode": "min", "tag": "second"})
    await build(engine.address, folder, cache_exports=(second,))
    index = json.loads((cache / "index.json").read_text())
    tags = {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in index["manifests"]}
    assert set(tags) == {"latest", "second"}
    assert not list((cache / "ingest").iterdir())
    for attributes in ({}, {"tag": "second"}, {"digest": tags["latest"]}):
        await forget(engine)
        entry = CacheEntry("local", {"src": str(cache), **attributes})
        outcome = await build(engine.address, folder, cache_imports=(entry,))
        assert outcome.cached_steps == outcome.steps == 4, attributes


async def test_a_folder_shared_with_buildx(engine: Engine, tmp_path: Path) -> None:
    """What buildx exported to a folder we import, and the other way round."""
    folder = busybox_context(tmp_path / "context", unique(tmp_path / "context", BASE))
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(BASE + f"COPY Dockerfile /{tmp_path.name}\n")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    await build(engine.address, folder, cache_exports=(CacheEntry("local", {"dest": str(ours)}),))
    await forget(engine)
    assert buildx(engine, folder, dockerfile, "type=cacheonly", "--cache-from", f"type=local,src={ours}")
    await forget(engine)
    buildx(engine, folder, dockerfile, "type=cacheonly", "--cache-to", f"type=local,dest={theirs}")
    await forget(engine)
    outcome = await build(engine.address, folder, cache_imports=(CacheEntry("local", {"src": str(theirs)}),))
    assert outcome.cached_steps == outcome.steps == 2


async def test_a_folder_that_cannot_be_written(engine: Engine, tmp_path: Path) -> None:
    """A cache that has no place to go is the build's cause, with the place."""
    folder = busybox_context(tmp_path / "context", BASE)
    (tmp_path / "file").touch()
    entry = CacheEntry("local", {"dest": str(tmp_path / "file" / "cache")})
    with pytest.raises(OutputError, match="file/cache cannot be written"):
        await build(engine.address, folder, cache_exports=(entry,))
