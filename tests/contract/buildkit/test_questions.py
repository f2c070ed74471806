"""What a daemon tells without a build: the frontend's answers, a Dockerfile of elsewhere, how something was built."""

from __future__ import annotations

import asyncio
import http.server
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.bridge import LARGEST_DOCKERFILE
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.errors import (
    BuilderTooOld,
    ContextError,
    DockerfileInvalid,
    DockerfileMissing,
    SlipwayError,
    StepFailed,
)
from tests.contract.buildkit.parts import BASE, Engine, build, run
from tests.serving import serving

Context = Callable[[str], Path]

STAGES = "ARG V=1\nFROM scratch AS one\nARG W\nCOPY busybox /\nFROM one AS two\nLABEL a=b\n"


async def ask(engine: Engine, question: str, folder: Path, **options: Any) -> dict[str, bytes]:
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        return await builder.ask(question, BuildRequest(folder)._replace(**options), Anonymous())


async def test_stages_and_arguments(engine: Engine, context: Context) -> None:
    """The frontend lists a Dockerfile's stages, and what can be set of one; for programs and for people."""
    folder = context(STAGES)
    targets = await ask(engine, "targets", folder)
    assert [each["name"] for each in json.loads(targets["result.json"])["targets"]] == ["one", "two"]
    assert "two (default)" in targets["result.txt"].decode()
    outline = await ask(engine, "outline", folder, target="one", build_args={"W": "given"})
    arguments = json.loads(outline["result.json"])["args"]
    assert {each["name"]: each.get("value") for each in arguments} == {"W": "given"}


async def test_a_question_that_the_frontend_does_not_know(engine: Engine, context: Context) -> None:
    """It is one that a newer builder answers; those that it knows it tells itself."""
    told = await ask(engine, "subrequests.describe", context(BASE))
    known = {each["name"] for each in json.loads(told["result.json"])}
    assert {"frontend.outline", "frontend.targets"} <= known
    for question, call in (("lint", "check"), ("nonsense", "nonsense")):
        if f"frontend.{question}" not in known:
            with pytest.raises(BuilderTooOld, match=f"does not support the call '{call}'"):
                await ask(engine, question, context(BASE))


async def test_questions_about_what_is_none(engine: Engine, context: Context) -> None:
    """A Dockerfile that is missing, or cannot be read, is the cause that it is for a build."""
    with pytest.raises(DockerfileInvalid, match="unknown instruction: FOO"):
        await ask(engine, "outline", context("FROM scratch\nFOO\n"))
    with pytest.raises(DockerfileMissing):
        await ask(engine, "outline", context(BASE), dockerfile=Path("Nope"))
    with pytest.raises(DockerfileInvalid, match="nowhere"):
        await ask(engine, "outline", context(BASE), target="nowhere")


async def test_a_builder_goes_on_after_questions(engine: Engine, context: Context) -> None:
    """Many at once, some cancelled, some failing: each gets its own answer, and the daemon stays as it is."""
    folder = context(STAGES)
    cancelled = [asyncio.create_task(ask(engine, "outline", folder)) for _ in range(4)]
    for number, task in enumerate(cancelled):
        await asyncio.sleep(0.01 * number)
        task.cancel()
    answers = await asyncio.gather(
        *(ask(engine, "outline", folder, target="one", build_args={"W": str(number)}) for number in range(6)),
        ask(engine, "nonsense", folder),
        *cancelled,
        return_exceptions=True,
    )
    for number, answer in enumerate(answers[:6]):
        assert isinstance(answer, dict), answer
        assert f'"{number}"' in answer["result.json"].decode()
    assert isinstance(answers[6], BuilderTooOld)
    assert (await build(engine.address, folder)).steps == 1


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A server that has a Dockerfile, one that is too large, and nothing else."""
    files = {"/Dockerfile": BASE.encode(), "/large": b"#" * (LARGEST_DOCKERFILE + 1), "/all": b"#" * LARGEST_DOCKERFILE}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


async def test_a_dockerfile_that_the_daemon_downloads(engine: Engine, web: str) -> None:
    """It comes whole; one that is not there, or is too large to be one, is a cause."""
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        assert await builder.fetch(f"{web}/Dockerfile") == BASE.encode()
        assert len(await builder.fetch(f"{web}/all")) == LARGEST_DOCKERFILE
        with pytest.raises(ContextError, match="larger than 2 MiB"):
            await builder.fetch(f"{web}/large")
        with pytest.raises(StepFailed, match="404") as missing:
            await builder.fetch(f"{web}/missing")
        assert "check the URL" in missing.value.action
        with pytest.raises(SlipwayError) as unreachable:
            await builder.fetch("http://127.0.0.1:1/Dockerfile")
        assert "cannot reach" in unreachable.value.action


async def test_how_something_was_built(engine: Engine, context: Context) -> None:
    """The daemon tells it by the build's reference, with its steps or without; of a build that it does not know,
    nothing."""
    folder = context(BASE + run("echo x > /x"))
    outcome = await build(engine.address, folder, build_args={"A": "1"})
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        (short,) = (await builder.provenance(outcome.ref)).values()
        (whole,) = (await builder.provenance(outcome.ref, whole=True)).values()
        assert await builder.provenance("0" * 32) == {}
    assert short["invocation"]["parameters"]["args"]["build-arg:A"] == "1"
    assert whole["buildConfig"]["llbDefinition"]
    assert {key: value for key, value in whole.items() if key in short} == short
    assert not {"buildConfig", "metadata"} & short.keys()


async def test_how_it_was_built_for_each_platform(engine: Engine, context: Context) -> None:
    """A build for several platforms has one of each."""
    outcome = await build(engine.address, context(STAGES), platforms=("linux/amd64", "linux/arm64"))
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        assert sorted(await builder.provenance(outcome.ref)) == ["linux/amd64", "linux/arm64"]
