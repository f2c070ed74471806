"""Where the pieces of a build come from: further contexts, Dockerfiles of elsewhere, URLs that the daemon fetches."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.events import BuildEvent
from prefect_slipway.infra.buildkit.build.outputs import ImagePush, OciOutput
from prefect_slipway.infra.buildkit.build.request import BuildOutcome, BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.errors import ContextError, DockerfileMissing, InvalidOption
from tests.contract.buildkit.parts import BASE, BUSYBOX, Engine, Registry, build, output_of, run
from tests.serving import folder_served
from tests.waiting import soon

Context = Callable[[str], Path]

CAT = run("cd /; /bin/busybox cat from-*")


async def build_url(engine: Engine, request: BuildRequest) -> BuildOutcome:
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        return await builder.build(request, Anonymous())


async def test_folders_by_name(engine: Engine, context: Context, tmp_path: Path) -> None:
    """Further folders are contexts of their own, with their own .dockerignore, whatever they are called."""
    contexts: dict[str, Path | str] = {}
    dockerfile = BASE
    for name in ("other", "context", "dockerfile"):
        folder = tmp_path / f"folder-{name}"
        folder.mkdir()
        (folder / f"from-{name}").write_text(f"{name} ")
        (folder / "from-ignored").write_text("ignored ")
        (folder / ".dockerignore").write_text("from-ignored\n")
        contexts[name] = folder
        dockerfile += f"COPY --from={name} / /\n"
    events: list[BuildEvent] = []
    await build(engine.address, context(dockerfile + CAT), contexts=contexts, events=events, no_cache=True)
    assert output_of(events) == "context dockerfile other "


async def test_an_image_by_name(engine: Engine, registry: Registry, context: Context) -> None:
    """A context can be an image, also in place of one that the Dockerfile names."""
    image = f"{registry.host}/named/context:1"
    folder = context(BASE + run("echo image > /from-image"))
    await build(engine.address, folder, output=ImagePush(image), credentials=registry.credentials)
    events: list[BuildEvent] = []
    await build(
        engine.address,
        context("FROM example.invalid/base\n" + CAT),
        contexts={"example.invalid/base": f"docker-image://{image}"},
        credentials=registry.credentials,
        events=events,
        no_cache=True,
    )
    assert output_of(events) == "image\n"


async def test_a_layout_by_name(engine: Engine, context: Context, tmp_path: Path) -> None:
    """A context can be an image in an OCI layout on this machine, by tag or by digest."""
    layout = tmp_path / "layout"
    made = await build(
        engine.address, context(BASE + run("echo layout > /from-layout")), output=OciOutput(layout, tar=False)
    )
    for place in (f"oci-layout://{layout}", f"oci-layout://{layout}:latest", f"oci-layout://{layout}@{made.digest}"):
        events: list[BuildEvent] = []
        folder = context("FROM base\n" + CAT)
        await build(engine.address, folder, contexts={"base": place}, events=events, no_cache=True)
        assert output_of(events) == "layout\n"
    with pytest.raises(ContextError, match="no '2' in the OCI layout"):
        await build(engine.address, context("FROM base"), contexts={"base": f"oci-layout://{layout}:2"})
    # Without a tag the only image is meant, whatever it is called; of several, `latest`.
    index = json.loads((layout / "index.json").read_text())
    for manifest in index["manifests"]:
        manifest["annotations"] = {"org.opencontainers.image.ref.name": "1.0"}
    (layout / "index.json").write_text(json.dumps(index))
    await build(engine.address, context("FROM base"), contexts={"base": f"oci-layout://{layout}"})
    (layout / "index.json").write_text(json.dumps({**index, "manifests": index["manifests"] * 2}))
    with pytest.raises(ContextError, match="no 'latest' in the OCI layout"):
        await build(engine.address, context("FROM base"), contexts={"base": f"oci-layout://{layout}"})


async def test_contexts_that_are_none(engine: Engine, context: Context, tmp_path: Path) -> None:
    """A folder that is not there and a specifier nobody knows are refused before the build."""
    with pytest.raises(ContextError, match="'x'"):
        await build(engine.address, context(BASE), contexts={"x": tmp_path / "missing"})
    with pytest.raises(InvalidOption, match="'x'"):
        await build(engine.address, context(BASE), contexts={"x": "ftp://somewhere"})


async def test_a_dockerfile_from_memory(engine: Engine, context: Context) -> None:
    """A Dockerfile can be bytes; the same size again is not mistaken for the last one, and .dockerignore holds."""
    folder = context("FROM nothing")
    (folder / "from-here").write_text("here")
    (folder / "from-ignored").write_text("ignored")
    (folder / ".dockerignore").write_text("from-ignored\n")
    for word in ("one", "two"):
        events: list[BuildEvent] = []
        content = (BASE + "COPY from-* /\n" + CAT + run(f"echo {word}") + "# padding\n" * 40_000).encode()
        await build(engine.address, folder, dockerfile_content=content, events=events, no_cache=True)
        assert output_of(events) == f"here{word}\n"


async def test_a_dockerfile_elsewhere(engine: Engine, context: Context, tmp_path: Path) -> None:
    """An absolute path may lie outside of the context, its own .dockerignore goes first, and `dockerfile` is taken for
    a missing `Dockerfile`."""
    folder = context("")
    (folder / "Dockerfile").unlink()
    with pytest.raises(DockerfileMissing):
        await build(engine.address, folder)
    (folder / "from-here").write_text("here\n")
    (folder / "from-ignored").write_text("ignored\n")
    elsewhere = tmp_path / "elsewhere" / "My.Dockerfile"
    elsewhere.parent.mkdir()
    elsewhere.write_text(BASE + "COPY from-* /\n" + CAT)
    elsewhere.with_name("My.Dockerfile.dockerignore").write_text("from-ignored\n")
    events: list[BuildEvent] = []
    await build(engine.address, folder, dockerfile=elsewhere, events=events, no_cache=True)
    assert output_of(events) == "here\n"
    (folder / "dockerfile").write_text(BASE)
    assert (await build(engine.address, folder)).steps == 1


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder served over HTTP."""
    root = tmp_path / "web"
    root.mkdir()
    with folder_served(root) as url:
        yield root, url


def archive(target: Path, dockerfile: str) -> None:
    with tarfile.open(target, "w:gz") as tar:
        for name, data in (("Dockerfile", dockerfile.encode()), ("busybox", BUSYBOX.read_bytes())):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))


async def test_an_archive_that_the_daemon_fetches(engine: Engine, web: tuple[Path, str], tmp_path: Path) -> None:
    """A context can be an archive behind a URL; its Dockerfile lies in it, on this machine, or in memory."""
    root, url = web
    archive(root / "src.tar.gz", BASE)
    assert (await build_url(engine, BuildRequest(f"{url}/src.tar.gz"))).steps == 1
    here = tmp_path / "Here"
    here.write_text(BASE + "COPY busybox /second\n")
    assert (await build_url(engine, BuildRequest(f"{url}/src.tar.gz", dockerfile=here))).steps == 2
    content = (BASE + "COPY busybox /second\nCOPY busybox /third\n").encode()
    assert (await build_url(engine, BuildRequest(f"{url}/src.tar.gz", dockerfile_content=content))).steps == 3


async def test_a_stream(engine: Engine, tmp_path: Path) -> None:
    """A context can be an archive that comes out of a file, a pipe or memory, or a Dockerfile alone."""
    archive(tmp_path / "src.tar.gz", BASE)
    data = (tmp_path / "src.tar.gz").read_bytes()
    with (tmp_path / "src.tar.gz").open("rb") as file:
        assert (await build_url(engine, BuildRequest(file))).steps == 1
    assert (await build_url(engine, BuildRequest(io.BytesIO(data)))).steps == 1
    dockerfile = b"FROM scratch\nWORKDIR /alone\nWORKDIR /second\n"
    assert (await build_url(engine, BuildRequest(io.BytesIO(dockerfile)))).steps == 2
    content = (BASE + "COPY busybox /second\n").encode()
    assert (await build_url(engine, BuildRequest(io.BytesIO(data), dockerfile_content=content))).steps == 2
    source, target = os.pipe()
    with os.fdopen(source, "rb") as reading, os.fdopen(target, "wb") as writing:
        building = asyncio.create_task(build_url(engine, BuildRequest(reading)))
        await asyncio.to_thread(writing.write, data)
        await asyncio.to_thread(writing.close)
        assert (await building).steps == 1


async def test_a_stream_that_says_nothing(engine: Engine) -> None:
    """A build that waits for its context can be cancelled."""
    source, target = os.pipe()
    with os.fdopen(source, "rb") as reading, os.fdopen(target, "wb"):
        building = asyncio.create_task(build_url(engine, BuildRequest(reading)))
        await asyncio.sleep(0.3)
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(building)


async def test_a_git_repository_that_the_daemon_fetches(engine: Engine, web: tuple[Path, str], tmp_path: Path) -> None:
    """A context can be a git repository behind a URL, at a ref and in a folder."""
    root, url = web
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    (work / "sub" / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    (work / "sub" / "file").write_text("x")
    git = ["git", "-C", str(work), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(root / "repo.git")], check=True)
    subprocess.run(["git", "-C", str(root / "repo.git"), "update-server-info"], check=True)
    outcome = await build_url(engine, BuildRequest(f"{url}/repo.git#main:sub"))
    assert outcome.steps == 1


async def test_options_of_run_steps(engine: Engine, context: Context) -> None:
    """Host names, /dev/shm's size, limits, the host's name and stages to build anew are what was asked for."""
    events: list[BuildEvent] = []
    script = (
        "/bin/busybox grep example.test /etc/hosts; /bin/busybox df -k /dev/shm | /bin/busybox tail -1;"
        " ulimit -n; /bin/busybox hostname"
    )
    await build(
        engine.address,
        context(BASE + run(script)),
        add_hosts=(("example.test", "192.0.2.7"), ("six.example.test", "2001:db8::1")),
        shm_size=32 << 20,
        ulimits=("nofile=1000:2000",),
        hostname="slipway-test",
        events=events,
        no_cache=True,
    )
    text = output_of(events)
    assert "192.0.2.7\texample.test" in text
    assert "2001:db8::1\tsix.example.test" in text
    assert "32768" in text
    assert text.splitlines()[-2:] == ["1000", "slipway-test"]


async def test_one_stage_anew(engine: Engine, context: Context) -> None:
    """Only the stages that are named are built anew."""
    folder = context(
        BASE.replace("scratch", "scratch AS one")
        + run("echo 1 > /one")
        + "FROM one AS two\n"
        + run("echo 2 > /two")
        + run("echo 3 > /three")
    )
    await build(engine.address, folder)
    assert (await build(engine.address, folder)).cached_steps == 4
    assert (await build(engine.address, folder, no_cache_stages=("two",))).cached_steps == 2
    assert (await build(engine.address, folder, no_cache=True)).cached_steps == 0


async def test_what_the_daemon_does_not_allow(engine: Engine, context: Context) -> None:
    """An entitlement that the daemon does not grant is an option that is refused."""
    with pytest.raises(InvalidOption, match=r"security\.insecure"):
        await build(engine.address, context(BASE), allow=("security.insecure",))
