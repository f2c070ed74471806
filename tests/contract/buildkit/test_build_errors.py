"""What is wrong with a source becomes a cause that shows where."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.events import BuildEvent
from prefect_slipway.infra.buildkit.build.outputs import ImagePush
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.errors import (
    BaseImageUnavailable,
    ContextError,
    DockerfileInvalid,
    DockerfileMissing,
    InvalidOption,
    StepFailed,
)
from tests.contract.buildkit.parts import BASE, Engine, Registry, build, output_of, run
from tests.git_repository import git, make_bare, make_repository
from tests.ports import free_port
from tests.serving import folder_served

Context = Callable[[str], Path]


async def test_a_failing_run(engine: Engine, context: Context) -> None:
    """A RUN that fails tells its step, exit code, last lines and place; the log is complete."""
    events: list[BuildEvent] = []
    script = "i=0; while [ $i -lt 50 ]; do echo out $i; i=$((i+1)); done; busybox sleep 0.3; echo broken >&2; exit 7"
    with pytest.raises(StepFailed) as error:
        await build(engine.address, context(BASE + run(script)), events=events)
    assert error.value.status == 7
    assert error.value.step.startswith("[2/2] RUN")
    details = error.value.details.splitlines()
    assert details[19] == "broken"
    assert details[0] == "out 31"
    assert any(line.startswith('   3 | >>> RUN ["/bin/busybox"') for line in details)
    assert len(output_of(events).splitlines()) == 51
    assert not error.value.retryable


async def test_a_syntax_error(engine: Engine, context: Context) -> None:
    """A Dockerfile that cannot be read is shown with the line that is to blame."""
    with pytest.raises(DockerfileInvalid, match="unknown instruction: FOO") as error:
        await build(engine.address, context("FROM scratch\nLABEL a=b\nFOO bar\nLABEL c=d\n"))
    assert error.value.details.splitlines() == [
        "Dockerfile:3",
        "-" * 20,
        "   1 |     FROM scratch",
        "   2 |     LABEL a=b",
        "   3 | >>> FOO bar",
        "   4 |     LABEL c=d",
        "   5 |     ",
        "-" * 20,
    ]


@pytest.mark.parametrize("dockerfile", ["", "FROM UPPER\n", "FROM scratch\nCOPY --nope=1 busybox /\n"])
async def test_other_bad_dockerfiles(engine: Engine, context: Context, dockerfile: str) -> None:
    """An empty Dockerfile, a bad image name and an unknown flag are the Dockerfile's fault as well."""
    with pytest.raises(DockerfileInvalid):
        await build(engine.address, context(dockerfile))


async def test_an_unknown_target(engine: Engine, context: Context) -> None:
    """A stage that does not exist is named."""
    with pytest.raises(DockerfileInvalid, match="nowhere"):
        await build(engine.address, context(BASE), target="nowhere")


async def test_a_missing_dockerfile(engine: Engine, context: Context) -> None:
    """A Dockerfile that is not there is said before the daemon is asked."""
    with pytest.raises(DockerfileMissing, match="Nope"):
        await build(engine.address, context(BASE), dockerfile=Path("Nope"))


async def test_a_missing_context(engine: Engine, tmp_path: Path) -> None:
    """A context that is no directory is said before the daemon is asked."""
    with pytest.raises(ContextError):
        await build(engine.address, tmp_path / "nowhere")


async def test_a_file_that_copy_wants(engine: Engine, context: Context) -> None:
    """COPY of a file that is not in the context names it and the line."""
    with pytest.raises(StepFailed, match='"/absent"') as error:
        await build(engine.address, context(BASE + "COPY absent /\n"))
    assert error.value.status is None
    assert ">>> COPY absent /" in error.value.details


@pytest.mark.parametrize(
    ("instruction", "words", "action"),
    [
        ("COPY absent /", "absent", "may be missing from the source"),
        ("ADD {web}/nothing /", "404", "check the URL"),
        ("ADD --checksum=sha256:{zeros} {web}/there /", "digest mismatch", "checksum is not the one"),
        ("ADD {web}/repo.git#nowhere /", "nowhere", "branch, tag or commit"),
        ("ADD http://127.0.0.1:1/x /", "connection refused", "cannot reach that address"),
        ('USER nobody\nRUN ["/bin/busybox", "true"]', "unable to find user nobody", "/etc/passwd"),
        ('USER -1\nRUN ["/bin/busybox", "true"]', "unable to find user -1", "/etc/passwd"),
        ("COPY --from=0 absent /", "absent", "may be missing|does not contain it"),
    ],
)
async def test_what_to_do_fits_the_failure(
    engine: Engine, context: Context, tmp_path: Path, instruction: str, words: str, action: str
) -> None:
    """A file that is not in the source, an answer of a server, a git ref and a user each want something else."""
    root = tmp_path / "web"
    root.mkdir()
    (root / "there").write_text("there")
    git(make_bare(root / "repo.git", make_repository(tmp_path / "work")), "update-server-info")
    with folder_served(root) as url:
        line = instruction.format(web=url, zeros="0" * 64)
        with pytest.raises(StepFailed, match=words) as error:
            await build(engine.address, context(f"{BASE}FROM scratch\nCOPY --from=0 bin /bin\n{line}\n"))
    assert re.search(action, error.value.action), error.value.action


async def test_a_base_image_nobody_has(engine: Engine, registry: Registry, context: Context) -> None:
    """A FROM image that is not in its registry, or whose registry does not answer, is named with the reason."""
    with pytest.raises(BaseImageUnavailable, match=r"no/such(:latest)? cannot be pulled: not found"):
        await build(
            engine.address,
            context(f"FROM {registry.host}/no/such\nLABEL a=b\n"),
            credentials=registry.credentials,
        )
    with pytest.raises(BaseImageUnavailable, match="connection refused"):
        await build(engine.address, context(f"FROM 127.0.0.1:{free_port()}/no/such\nLABEL a=b\n"))


async def test_an_unreadable_platform(engine: Engine, context: Context) -> None:
    """A platform that is none is an option that cannot be read."""
    with pytest.raises(InvalidOption, match="beos"):
        await build(engine.address, context(BASE), platforms=("beos",))


async def test_a_file_that_changes_while_it_is_read(engine: Engine, context: Context) -> None:
    """A file that grows between its announcement and its reading is a context error that names it, and no hang."""
    folder = context(BASE + "COPY growing /\n")
    growing = folder / "growing"
    growing.write_bytes(b"x")

    def grow(_: BuildEvent) -> None:
        growing.write_bytes(growing.read_bytes() + b"x")

    with pytest.raises(ContextError, match="'growing' changed"):
        # Whether the change falls between the two is a race; it is won within a few builds.
        for _ in range(50):
            async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
                await builder.build(BuildRequest(folder), Anonymous(), grow)


async def test_a_failed_build_is_not_pushed(engine: Engine, context: Context) -> None:
    """A push of an image that never was built ends with the build's cause, not with the registry's."""
    with pytest.raises(StepFailed):
        await build(
            engine.address, context(BASE + run("exit 1")), output=ImagePush("registry.invalid/a", by_digest=True)
        )
