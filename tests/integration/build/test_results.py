"""What `slipway build` leaves beside its output: the image's id, the metadata file, standard output."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_slipway
from tests.contract.buildkit.parts import Engine, busybox_context
from tests.integration.build.compared import BUILDX, environment

STAGE = "FROM scratch\nARG A\nENV A=$A\nCOPY busybox /\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return busybox_context(tmp_path / "source", STAGE)


def build(engine: Engine, source: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    done = run_slipway("build", ".", *arguments, env=environment(engine, source.parent, **env), cwd=source)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def inspected(engine: Engine, name: str) -> str:
    """The id that the engine itself has for an image."""
    command = ("docker", "image", "inspect", "--format", "{{.Id}}", name)
    env = environment(engine, engine.home)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("kind", ["engine", "plain_engine"])
@pytest.mark.parametrize("arguments", [(), ("-t", "named:1"), ("--load",), ("--output", "type=image,name=an/image")])
def test_the_id_is_the_engines(
    request: pytest.FixtureRequest, source: Path, kind: str, arguments: tuple[str, ...]
) -> None:
    """What -q prints and --iidfile gets is what the engine calls the image, however it keeps images."""
    engine = request.getfixturevalue(kind)
    done = build(engine, source, "-q", "--iidfile", "id", *arguments)
    assert done.returncode == 0, done.stderr
    identity = (source / "id").read_text()
    assert done.stdout == f"{identity}\n"
    assert done.stderr == ""
    assert inspected(engine, identity) == identity
    if "-t" in arguments:
        assert inspected(engine, "named:1") == identity


async def test_the_id_elsewhere(remote: Engine, engine: Engine, source: Path) -> None:
    """A builder that keeps no images tells the digest of the config, as in the archive that comes of it, and to buildx;
    where there is no image there is no id."""
    done = await asyncio.to_thread(build, remote, source, "-q", "-o", "type=oci,dest=o.tar")
    with tarfile.open(source / "o.tar") as tar:
        index = json.load(tar.extractfile("index.json") or io.BytesIO())
        blob = index["manifests"][0]["digest"].replace(":", "/")
        manifest = json.load(tar.extractfile(f"blobs/{blob}") or io.BytesIO())
    assert done.stdout.strip() == manifest["config"]["digest"]
    (await asyncio.to_thread(build, remote, source, "--iidfile", "id", "-o", "type=oci,dest=o.tar")).check_returncode()
    assert (source / "id").read_text() == manifest["config"]["digest"]
    env = environment(engine, remote.home)
    create = ("docker", "buildx", "create", "--name", "named", "--driver", "remote", remote.address)
    await asyncio.to_thread(subprocess.run, create, env=env, check=True, capture_output=True)
    theirs = (*BUILDX, "--builder", "named", "-q", "-o", "type=oci,dest=o.tar", source)
    peer = await asyncio.to_thread(
        subprocess.run, theirs, env=env, cwd=source, capture_output=True, text=True, check=True
    )
    assert done.stdout == peer.stdout
    none = await asyncio.to_thread(build, remote, source, "-q", "-o", "type=cacheonly")
    assert (none.returncode, none.stdout) == (0, "\n")


def metadata(engine: Engine, source: Path, *arguments: str, **env: str) -> Any:
    done = build(engine, source, "--metadata-file", "m.json", *arguments, **env)
    assert done.returncode == 0, done.stderr
    return json.loads((source / "m.json").read_text())


def test_the_metadata_file(engine: Engine, source: Path) -> None:
    """What the exporter says as objects, the reference that the daemon's history has, and how it was built."""
    found = metadata(engine, source, "-t", "described", "--build-arg", "A=1")
    assert found["containerimage.descriptor"]["digest"] == found["containerimage.digest"]
    assert found["image.name"] == "docker.io/library/described:latest"
    ref = found["buildx.build.ref"].rpartition("/")[2]
    history = run_slipway("builder", "history", env=environment(engine, source.parent))
    assert ref in history.stdout
    told = found["buildx.build.provenance"]
    assert told["invocation"]["parameters"]["args"]["build-arg:A"] == "1"
    assert "buildConfig" not in told


def test_how_much_provenance_the_metadata_have(engine: Engine, source: Path) -> None:
    """All of it, or none, if the environment says so; one for each platform."""
    assert "buildConfig" in metadata(engine, source, BUILDX_METADATA_PROVENANCE="max")["buildx.build.provenance"]
    for word in ("disabled", "0", "false"):
        assert "buildx.build.provenance" not in metadata(engine, source, BUILDX_METADATA_PROVENANCE=word)
    found = metadata(engine, source, "--platform", "linux/amd64,linux/arm64", "-o", "type=cacheonly")
    assert {"buildx.build.provenance/linux/amd64", "buildx.build.provenance/linux/arm64"} <= found.keys()


@pytest.mark.parametrize(
    ("option", "place"), [("--iidfile", "missing/id"), ("--metadata-file", "missing/m"), ("--iidfile", "folder")]
)
def test_places_that_cannot_be_written(engine: Engine, source: Path, option: str, place: str) -> None:
    """They are known before anything is built."""
    (source / "folder").mkdir()
    done = build(engine, source, option, place, "-o", "type=oci,dest=out", "--no-cache")
    assert done.returncode != 0
    assert place in done.stderr
    assert "COPY" not in done.stderr
    assert not (source / "out").exists()


def test_a_build_that_fails(engine: Engine, source: Path) -> None:
    """It leaves no id of an earlier build, the metadata as they were, and nothing half written."""
    build(engine, source, "--iidfile", "id", "--metadata-file", "m.json").check_returncode()
    before = (source / "m.json").read_bytes()
    assert build(engine, source, "--iidfile", "id", "--metadata-file", "m.json", "--target", "none").returncode != 0
    assert (source / "m.json").read_bytes() == before
    assert {path.name for path in source.iterdir()} == {"Dockerfile", "busybox", "m.json"}


def test_ids_that_go_to_a_device(engine: Engine, source: Path) -> None:
    """A file that is none is written as it is."""
    done = build(engine, source, "--iidfile", "/dev/stdout", "--progress", "none")
    assert inspected(engine, done.stdout) == done.stdout
    assert done.stderr == ""


def test_an_image_is_kept_only_where_it_is_wanted(engine: Engine, source: Path) -> None:
    """An engine keeps what it builds, but not where that is switched off or something else was asked for."""
    for number, (arguments, env, kept) in enumerate(
        (
            ((), {}, True),
            (("--load=false",), {}, True),
            ((), {"BUILDX_NO_DEFAULT_LOAD": "1"}, False),
            (("-o", "type=cacheonly"), {}, False),
            (("-o", "out"), {}, False),
            (("-o", "out", "--load"), {}, True),
        )
    ):
        name = f"kept/number:{number}"
        build(engine, source, "-t", name, *arguments, **env).check_returncode()
        command = ("docker", "image", "ls", "--quiet", name)
        listed = subprocess.run(
            command, env=environment(engine, engine.home), capture_output=True, text=True, check=True
        )
        assert bool(listed.stdout) == kept, arguments
