"""What comes back of a build: files, archives, layouts, images, as docker buildx writes them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.build.outputs import DockerOutput, ImageStore, LocalOutput, OciOutput, TarOutput
from prefect_slipway.infra.domain.errors import BuildError, BuilderTooOld, InvalidOption, OutputError
from prefect_slipway.infra.local.engine import engine_address
from tests.contract.buildkit.parts import (
    BASE,
    Engine,
    build,
    busybox_context,
    docker,
    older_than,
    open_descriptors,
    run,
)
from tests.engine import engine as engine_by_hand
from tests.integration.buildkit.buildx import buildx, copy_everything
from tests.integration.buildkit.trees import listing, make_tree

Context = Callable[[str], Path]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return lambda dockerfile: busybox_context(tmp_path / "context", dockerfile)


async def test_an_output_that_deletes_the_rest(engine: Engine, tmp_path: Path) -> None:
    """The folder is the result and nothing else; links that lead out are removed, not followed. A build that fails
    removes nothing, and without being told so nothing that lies beside the working directory is cleared."""
    tree = tmp_path / "tree"
    make_tree(tree, seed=3)
    dockerfile = copy_everything(tmp_path)
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (out / "old" / "deep").mkdir(parents=True)
    (out / "old" / "deep" / "file").touch()
    (out / "link").symlink_to(elsewhere)
    cleared = LocalOutput(out, delete=True, anywhere=True)
    with pytest.raises(BuildError):
        await build(engine.address, tree, dockerfile=dockerfile, target="none", output=cleared)
    assert (out / "old" / "deep" / "file").exists()
    await build(engine.address, tree, dockerfile=dockerfile, output=cleared)
    await build(engine.address, tree, dockerfile=dockerfile, output=LocalOutput(tmp_path / "plain"))
    assert listing(out) == listing(tmp_path / "plain")
    assert (elsewhere / "kept").exists()
    for place in (Path(), out):
        with pytest.raises(InvalidOption, match="is outside the working directory"):
            await build(engine.address, tree, dockerfile=dockerfile, output=LocalOutput(place, delete=True))


@pytest.mark.parametrize("seed", range(20, 26))
async def test_a_folder_as_buildx_writes_it(engine: Engine, tmp_path: Path, seed: int) -> None:
    """Contents, modes, times, links, devices and all names come out as they went in, and as from buildx."""
    tree = tmp_path / tmp_path.name
    make_tree(tree, seed, size=60)
    dockerfile = copy_everything(tmp_path)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    outcome = await build(engine.address, tree, dockerfile=dockerfile, output=LocalOutput(ours))
    assert outcome.digest == ""
    buildx(engine, tree, dockerfile, f"type=local,dest={theirs}")
    assert listing(ours) == listing(theirs)
    (copied,) = ours.iterdir()
    assert listing(copied) == listing(tree)


async def test_a_folder_that_is_not_empty(engine: Engine, context: Context, tmp_path: Path) -> None:
    """What is there stays unless the result has something of that name, of whatever kind; nothing is written through
    a link that was there."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (out / "kept").mkdir(parents=True)
    (out / "kept" / "file").write_text("kept")
    (out / "made").symlink_to(outside)
    (out / "becomes-file" / "deep").mkdir(parents=True)
    (out / "becomes-folder").write_text("x")
    (out / "link").symlink_to(outside / "target")
    folder = context("FROM scratch\nCOPY new /\n")
    new = folder / "new"
    for name in ("made/a", "becomes-folder/b", "kept/new"):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_text(name)
    (new / "becomes-file").write_text("file")
    (new / "link").write_text("no link")
    await build(engine.address, folder, output=LocalOutput(out))
    assert not list(outside.iterdir())
    assert (out / "kept" / "file").read_text() == "kept"
    found = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert found == {
        "kept/file": "kept",
        "kept/new": "kept/new",
        "made/a": "made/a",
        "becomes-folder/b": "becomes-folder/b",
        "becomes-file": "file",
        "link": "no link",
    }


async def test_many_files_and_a_large_one(engine: Engine, context: Context, tmp_path: Path) -> None:
    """An output that fits into no window arrives whole; no temporary file and no descriptor stays."""
    folder = context("FROM scratch\nCOPY data /\n")
    (folder / "data").mkdir()
    content = os.urandom(24 << 20)
    (folder / "data" / "large").write_bytes(content)
    for number in range(3000):
        place = folder / "data" / f"d{number % 40}"
        place.mkdir(exist_ok=True)
        (place / f"f{number}").write_text(f"{number}\n" * 30)
    out = tmp_path / "out"
    before = open_descriptors()
    await build(engine.address, folder, output=LocalOutput(out))
    assert open_descriptors() <= before
    assert subprocess.run(["diff", "-r", folder / "data", out], check=False).returncode == 0


async def test_archives(engine: Engine, context: Context, tmp_path: Path) -> None:
    """tar, oci and docker archives go to files and to streams; several outputs of one build at once."""
    if await older_than(engine, 0, 13):
        pytest.skip("before v0.13 a build has one output")
    folder = context(BASE + "COPY Dockerfile /etc/\n")
    stream = io.BytesIO()
    outputs = (
        TarOutput(tmp_path / "files.tar"),
        OciOutput(tmp_path / "oci.tar", name="example.org/team/app:1"),
        DockerOutput(stream, name="example.org/team/app:1"),
        LocalOutput(tmp_path / "folder"),
    )
    await build(engine.address, folder, outputs=outputs)
    with tarfile.open(tmp_path / "files.tar") as tar:
        assert {"bin/busybox", "etc/Dockerfile"} <= set(tar.getnames())
    with tarfile.open(tmp_path / "oci.tar") as tar:
        index = json.load(tar.extractfile("index.json") or io.BytesIO())
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "example.org/team/app:1"
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json") or io.BytesIO())
    assert manifest["RepoTags"] == ["example.org/team/app:1"]
    assert (tmp_path / "folder" / "etc" / "Dockerfile").read_text() == (folder / "Dockerfile").read_text()
    assert not list(tmp_path.glob(".*")), "no temporary file is left"


async def test_a_layout_as_a_folder(engine: Engine, context: Context, tmp_path: Path) -> None:
    """An OCI layout can be a folder, written blob by blob, whose index names the image; a second build adds to it."""
    layout = tmp_path / "layout"
    first = await build(
        engine.address, context(BASE), output=OciOutput(layout, name="example.org/team/app:1", tar=False)
    )
    second = await build(
        engine.address,
        context(BASE + "LABEL a=b\n"),
        output=OciOutput(layout, name="example.org/team/app:2", tar=False),
    )
    index = json.loads((layout / "index.json").read_text())
    names = {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in index["manifests"]}
    assert names == {"1": first.digest, "2": second.digest}
    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{layout}:1"], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(shown)["layers"]
    assert not list((layout / "ingest").iterdir())
    assert not (layout / "index.json.lock").exists()


async def test_several_platforms(engine: Engine, context: Context, tmp_path: Path) -> None:
    """Several platforms in one image, and each in its folder; provenance comes with the image."""
    if await older_than(engine, 0, 13):
        pytest.skip("before v0.13 a build has one output")
    await build(
        engine.address,
        context("FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /${TARGETARCH}\n"),
        platforms=("linux/amd64", "linux/arm64"),
        attests={"provenance": "mode=max"},
        outputs=(OciOutput(tmp_path / "layout.tar"), LocalOutput(tmp_path / "folder")),
    )
    with tarfile.open(tmp_path / "layout.tar") as tar:
        index = json.load(tar.extractfile("index.json") or io.BytesIO())
        digest = index["manifests"][0]["digest"].replace("sha256:", "blobs/sha256/")
        manifests = json.load(tar.extractfile(digest) or io.BytesIO())["manifests"]
    assert [m["platform"]["architecture"] for m in manifests] == ["amd64", "arm64", "unknown", "unknown"]
    for architecture in ("amd64", "arm64"):
        assert (tmp_path / "folder" / f"linux_{architecture}" / architecture).is_file()
        assert (tmp_path / "folder" / f"linux_{architecture}" / "provenance.json").is_file()


async def test_an_image_for_the_engine(engine: Engine, context: Context) -> None:
    """A stored image is among the engine's own, ready to run."""
    if not engine.is_docker:
        pytest.skip("a buildkitd runs no images")
    folder = context(BASE + run("echo stored > /f"))
    outcome = await build(engine.address, folder, output=ImageStore("slipway-test/stored:1"))
    assert outcome.digest.startswith("sha256:")
    assert "slipway-test/stored:1" in docker(engine, "images", "--format", "{{.Repository}}:{{.Tag}}")
    command = ("run", "--rm", "--network", "none", "slipway-test/stored:1", "/bin/busybox", "cat", "/f")
    assert docker(engine, *command) == "stored\n"


async def test_an_engine_without_the_image_store(context: Context, tmp_path: Path) -> None:
    """An engine as Docker installs it keeps images and sends files, and says what it lacks for the rest."""
    with tempfile.TemporaryDirectory(prefix="engine-") as home:
        daemon = engine_by_hand(Path(home))
        config = Path(home) / "engine" / "daemon.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"features": {}}))
        daemon.start()
        try:
            plain = Engine(engine_address(Path(home)), Path(home))
            await build(plain.address, context(BASE), output=ImageStore("slipway-test/plain:1"))
            assert "slipway-test/plain:1" in docker(plain, "images", "--format", "{{.Repository}}:{{.Tag}}")
            await build(plain.address, context(BASE), output=LocalOutput(tmp_path / "out"))
            assert (tmp_path / "out" / "bin" / "busybox").is_file()
            with pytest.raises(BuilderTooOld, match="'oci'"):
                await build(plain.address, context(BASE), output=OciOutput(tmp_path / "o.tar"))
        finally:
            daemon.stop()


async def test_places_that_cannot_be_written(engine: Engine, context: Context, tmp_path: Path) -> None:
    """A destination that cannot be one is refused at once; one that fails while it is written is the build's cause."""
    folder = context(BASE)
    (tmp_path / "file").touch()
    for output in (LocalOutput(tmp_path / "file"), TarOutput(tmp_path), OciOutput(io.BytesIO(), tar=False)):
        with pytest.raises(InvalidOption):
            await build(engine.address, folder, output=output)
    with pytest.raises(InvalidOption, match="next to another image"):
        await build(engine.address, folder, outputs=(OciOutput(tmp_path / "l", tar=False), ImageStore("a/b")))
    for output in (
        TarOutput(tmp_path / "file" / "below" / "files.tar"),
        LocalOutput(tmp_path / "file" / "below"),
        OciOutput(tmp_path / "file" / "below", tar=False),
        TarOutput(Path("/dev/full")),
    ):
        with pytest.raises(OutputError, match="cannot be written"):
            await build(engine.address, folder, output=output)
