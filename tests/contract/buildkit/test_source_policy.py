"""A source policy is applied by the daemon; what it denies is a cause that names source, rule and line."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.outputs import ImagePush
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.errors import (
    BaseImageUnavailable,
    BuildSourceDenied,
    SlipwayError,
    StepFailed,
)
from prefect_slipway.infra.domain.source_policy import SourcePolicy
from tests.contract.buildkit.parts import BASE, Engine, Registry, build, run
from tests.ports import free_port
from tests.serving import folder_served
from tests.source_policies import policy, rule

Context = Callable[[str], Path]


@pytest.mark.parametrize(
    ("dockerfile", "denied", "source", "line"),
    [
        ("FROM scratch AS a\nFROM busybox\n", "docker-image://docker.io/*", "docker.io/library/busybox:latest", 2),
        ("ARG B=alpine:3\nFROM ${B}\n", "*alpine*", "docker.io/library/alpine:3", 2),
        ("FROM scratch\nCOPY --from=alpine:3 / /\n", "docker-image://*", "docker.io/library/alpine:3", 2),
        ("# syntax=docker/dockerfile:1\nFROM scratch\n", "docker-image://*", "docker.io/docker/dockerfile:1", 1),
        ("FROM scratch\n# https://a.example/b\nADD https://a.example/b /\n", "https://*", "https://a.example/b", 3),
        ("FROM scratch\nADD https://a.example/b.git#v1 /\n", "git://*", "git://a.example/b.git", 2),
    ],
)
async def test_a_denied_source(
    engine: Engine, context: Context, dockerfile: str, denied: str, source: str, line: int
) -> None:
    """Base images, other stages' images, the frontend, files and repositories: each is denied before anything is
    asked of its server, with the rule and the Dockerfile's line."""
    with pytest.raises(BuildSourceDenied) as error:
        await build(engine.address, context(dockerfile), source_policy=policy(rule("DENY", denied)))
    assert error.value.source.partition("#")[0].removeprefix("docker-image://") == source
    assert source in error.value.cause
    assert error.value.cause.endswith(f"(rule 1, DENY {denied})")
    assert f"\n{line:4d} | >>> {dockerfile.splitlines()[line - 1]}\n" in error.value.details
    assert not error.value.retryable


async def test_the_context_is_a_source_as_well(engine: Engine, context: Context) -> None:
    """A policy that denies everything denies the build's own directory, and says how to allow it."""
    allowing = [rule("DENY", "*"), rule("ALLOW", "local://*")]
    with pytest.raises(BuildSourceDenied, match="local://dockerfile") as error:
        await build(engine.address, context(BASE), source_policy=policy(*allowing[:1]))
    assert "local://*" in error.value.action
    assert (await build(engine.address, context(BASE), source_policy=policy(*allowing))).steps == 1


async def test_a_file_is_pinned_by_its_checksum(engine: Engine, context: Context, tmp_path: Path) -> None:
    """CONVERT with http.checksum: the bytes that were meant, or none."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file").write_bytes(b"as it is")

    def pinned(content: bytes) -> SourcePolicy:
        checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return policy(rule("CONVERT", f"{url}/file", "EXACT", attrs={"http.checksum": checksum}))

    with folder_served(tmp_path / "served") as url:
        folder = context(f"FROM scratch\nADD {url}/file /file\n")
        await build(engine.address, folder, source_policy=pinned(b"as it is"))
        with pytest.raises(StepFailed, match="digest mismatch"):
            await build(engine.address, folder, source_policy=pinned(os.urandom(8)))


async def test_an_image_is_pinned_by_its_digest(engine: Engine, registry: Registry, context: Context) -> None:
    """CONVERT of a tag to its digest: a moved tag changes nothing."""
    name = f"{registry.host}/pinned/base"

    async def push(text: str) -> str:
        folder = context(f'{BASE}RUN ["/bin/busybox", "sh", "-c", "echo {text} > /which"]\n')
        output = ImagePush(f"{name}:1", insecure=True)
        return (await build(engine.address, folder, output=output, credentials=registry.credentials)).digest

    first = await push("first")
    assert await push("second") != first
    tag = f"docker-image://{name}:1"
    is_first = f"FROM {name}:1\n" + run('[ "$(/bin/busybox cat /which)" = first ]')
    folder, login = context(is_first), registry.credentials
    with pytest.raises(StepFailed):
        await build(engine.address, folder, credentials=login)
    # `*`: Docker 26 does not convert what it finds by an exact name.
    pin = rule("CONVERT", f"{tag}*", identifier=f"{tag}@{first}")
    pinned = policy(rule("DENY", "docker-image://*"), rule("ALLOW", "docker-image://*@sha256:*"), pin)
    await build(engine.address, folder, credentials=login, source_policy=pinned)


@pytest.mark.parametrize(
    "rules",
    [
        [rule("DENY", "docker-image://HOST/*"), rule("ALLOW", "docker-image://HOST/a/*")],
        [rule("ALLOW", "docker-image://HOST/a/*"), rule("DENY", "docker-image://HOST/*")],
        [rule("DENY", "docker-image://HOST/a/b:1", "EXACT")],
        [rule("DENY", "docker-image://HOST/a/b", "EXACT")],
        [rule("DENY", "docker-image://HOST/a/b")],
        [rule("DENY", r"/a/[a-c]:\d$", "REGEX")],
        [rule("DENY", r"^/a/b", "REGEX")],
        [rule("DENY", "docker-image://HOST/a.b:1")],
        [rule("CONVERT", "*/b:1", identifier="${1}/c:2"), rule("DENY", "*/c:2")],
        [rule("CONVERT", "*/b:1", identifier="$1x/c:2"), rule("DENY", "*HOST/a/c:2")],
        [rule("CONVERT", "(/a)/(b)", "REGEX", identifier="$1/${2}c"), rule("DENY", "*/a/bc:1")],
    ],
)
async def test_what_slipway_says_of_a_policy_is_what_the_daemon_does(
    engine: Engine, context: Context, rules: list[dict[str, Any]]
) -> None:
    """Rules are evaluated here as there: for plans, and to name the rule."""
    host = f"127.0.0.1:{free_port()}"
    given = policy(*json.loads(json.dumps(rules).replace("HOST", host)))
    here = given.denied_by(f"docker-image://{host}/a/b:1")
    with pytest.raises(SlipwayError) as error:
        await build(engine.address, context(f"FROM {host}/a/b:1\n"), source_policy=given)
    expected = BaseImageUnavailable if here is None else BuildSourceDenied
    assert isinstance(error.value, expected), error.value
    if here is not None:
        assert f"({here})" in error.value.cause


async def test_builds_of_one_builder_share_their_cache_mounts(engine: Engine, context: Context) -> None:
    """What docs/explanation/slsa.md says of a shared builder: a build finds what another one left."""
    place = secrets.token_hex(8)
    mount = f"RUN --mount=type=cache,id={place},target=/cache "
    shell = '["/bin/busybox", "sh", "-c", "%s"]\n'
    await build(engine.address, context(BASE + mount + shell % "echo left > /cache/by-one"))
    await build(engine.address, context(BASE + mount + shell % "[ -e /cache/by-one ]"))


async def test_questions_and_downloads_follow_it(engine: Engine, context: Context) -> None:
    """What a Dockerfile is asked for without a build, and a Dockerfile that the daemon downloads."""
    denied = policy(rule("DENY", "docker-image://*"), rule("DENY", "http*"))
    folder = context("# syntax=docker/dockerfile:1\nFROM scratch\n")
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        with pytest.raises(BuildSourceDenied):
            await builder.ask("outline", BuildRequest(folder, source_policy=denied), Anonymous())
        with pytest.raises(BuildSourceDenied):
            await builder.fetch("https://a.example/Dockerfile", source_policy=denied)
