"""Attestations come with a pushed image: what a scanner found in it, as docker buildx asks for it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import patient
from tests.conftest import clean_environment, run_slipway
from tests.contract.buildkit.bridged import bridged_engine, listening_there, may_make_namespaces
from tests.contract.buildkit.parts import BASE, Engine, busybox_context
from tests.contract.buildkit.relay import Relay
from tests.servers import registry_server

SPDX = "https://spdx.dev/Document"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_ANY = f"{_INDEX}, {_MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"

# docs/attestations/sbom-protocol.md (moby/buildkit); a file is an in-toto statement. It tells the files of each target.
SCANNER = r"""
set -e
for target in "$BUILDKIT_SCAN_SOURCE" ${BUILDKIT_SCAN_SOURCE_EXTRAS:+"$BUILDKIT_SCAN_SOURCE_EXTRAS"/*}; do
  name=$(busybox basename "$target")
  cd "$target"
  files=$(busybox find . -type f | busybox sort | busybox sed 's/.*/{"fileName":"&"}/' | busybox tr '\n' ,)
  spdx=$(printf '{"spdxVersion":"SPDX-2.3","name":"%s","files":[%s]}' "$name" "${files%,}")
  printf '{"_type":"%s","predicateType":"%s","predicate":%s}' \
    https://in-toto.io/Statement/v0.1 https://spdx.dev/Document "$spdx" > "$BUILDKIT_SCAN_DESTINATION/$name.spdx.json"
done
"""


@dataclass(frozen=True)
class Place:
    """`lonely`: nothing but the registry can be reached from the engine."""

    engine: str
    registry: str
    lonely: bool

    async def slipway(self, context: Path, tag: str, *options: str) -> subprocess.CompletedProcess[str]:
        """`slipway build --push` of an image with this tag."""
        target = ("--builder", self.engine, "--push", "-t", f"{self.registry}/{tag}")
        # Beside the relay, which runs in this thread.
        return await asyncio.to_thread(run_slipway, "build", *target, *options, context, env=clean_environment())

    def get(self, path: str, accept: str = "*/*") -> Any:
        answer = patient.get(f"http://{self.registry}/v2/{path}", headers={"Accept": accept})
        return answer.raise_for_status().json()

    def statements(self, repository: str, tag: str) -> list[dict[str, Any]]:
        """The in-toto statements about the one image of an index, which is checked for being one."""
        index = self.get(f"{repository}/manifests/{tag}", _INDEX)
        image, attested = index["manifests"]
        assert attested["platform"] == {"architecture": "unknown", "os": "unknown"}
        assert attested["annotations"] == {
            "vnd.docker.reference.digest": image["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        }
        found = []
        for layer in self.get(f"{repository}/manifests/{attested['digest']}", _MANIFEST)["layers"]:
            assert layer["mediaType"] == "application/vnd.in-toto+json"
            statement = self.get(f"{repository}/blobs/{layer['digest']}")
            assert layer["annotations"]["in-toto.io/predicate-type"] == statement["predicateType"]
            assert {f"sha256:{each['digest']['sha256']}" for each in statement["subject"]} == {image["digest"]}
            found.append(statement)
        return found


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="registry-") as home, registry_server(Path(home)) as host:
        yield host


@pytest.fixture
async def place(registry: str, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if os.environ.get("SLIPWAY_TEST_BUILDER"):
        named: Engine = request.getfixturevalue("engine")
        yield Place(named.address, registry, lonely=False)
        return
    if not may_make_namespaces():
        pytest.skip("an engine with a network of its own needs root")
    host, _, port = registry.rpartition(":")
    with (
        tempfile.TemporaryDirectory(prefix="engine-") as home,
        bridged_engine(Path(home)) as (address, daemon),
        listening_there(daemon, int(port)) as there,
    ):
        async with Relay(lambda: asyncio.open_connection(host, int(port)), at=there):
            yield Place(address, registry, lonely=True)


async def test_an_sbom(place: Place, tmp_path: Path) -> None:
    """--sbom and --attest have an image scanned by the generator that they name, and its findings pushed beside it: the
    same as by docker buildx. `false` and `disabled` ask for nothing; `true` means Docker's own generator."""
    scanner = BASE + 'COPY scan.sh /\nENV PATH=/bin\nENTRYPOINT ["/bin/busybox", "sh", "/scan.sh"]\n'
    folder = busybox_context(tmp_path / "scanner", scanner)
    (folder / "scan.sh").write_text(SCANNER)
    done = await place.slipway(folder, "scanner:1")
    assert done.returncode == 0, done.stderr
    generator = f"generator={place.registry}/scanner:1"
    stages = "FROM scratch AS early\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nCOPY a /early\n"
    context = busybox_context(tmp_path / "app", f"{stages}{BASE}COPY --from=early /early /a\n")
    (context / "a").touch()
    done = await place.slipway(context, "app:1", "--sbom", generator)
    assert done.returncode == 0, done.stderr
    assert f"generating sbom using {place.registry}/scanner:1" in done.stderr
    statements = place.statements("app", "1")
    assert {statement["predicateType"] for statement in statements} == {SPDX}
    # The daemon adds to the files which layer they are in.
    files = {
        each["predicate"]["name"]: [file["fileName"] for file in each["predicate"]["files"]] for each in statements
    }
    assert files == {"sbom": ["./a", "./bin/busybox"], "sbom-early": ["./early"]}

    done = await place.slipway(context, "app:2", "--attest", f"type=sbom,{generator}", "--provenance", "mode=min")
    assert done.returncode == 0, done.stderr
    kinds = [statement["predicateType"] for statement in place.statements("app", "2")]
    assert kinds.count(SPDX) == len(kinds) - 1 == 2
    assert any("slsa.dev/provenance" in kind for kind in kinds), kinds

    for number, off in enumerate((["--sbom=false"], ["--attest", f"type=sbom,disabled=true,{generator}"])):
        done = await place.slipway(context, f"app:off{number}", *off)
        assert done.returncode == 0, done.stderr
        assert "layers" in place.get(f"app/manifests/off{number}", _ANY)

    if not place.lonely:
        return
    done = await place.slipway(context, "app:3", "--sbom=true")
    assert done.returncode == 1, done.stderr
    assert "docker/buildkit-syft-scanner:stable-1 cannot be pulled" in done.stderr
    await asyncio.to_thread(_buildx, place, context, tmp_path, generator)
    assert _findings(place.statements("app", "buildx")) == _findings(statements)


def _findings(statements: list[dict[str, Any]]) -> list[str]:
    """Without the tag in the subject's name; scans come in any order."""
    return sorted(
        json.dumps([each["subject"][0]["digest"], each["predicateType"], each["predicate"]]) for each in statements
    )


def _buildx(place: Place, context: Path, home: Path, sbom: str) -> None:
    command = ("docker", "buildx", "build", "--push", "--provenance=false", f"--sbom={sbom}")
    done = subprocess.run(
        [*command, "-t", f"{place.registry}/app:buildx", context],
        env=clean_environment(
            DOCKER_HOST=place.engine.replace("docker://", "unix://"), BUILDX_CONFIG=str(home / "buildx")
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_scanner_writes_json(tmp_path: Path) -> None:
    """The scanner of these tests keeps to its protocol when it is run by hand: no target but those it was given."""
    source, out = tmp_path / "src" / "core" / "sbom", tmp_path / "out"
    for folder in (source, out):
        folder.mkdir(parents=True)
    (source / "file").touch()
    environment = {
        "BUILDKIT_SCAN_SOURCE": str(source),
        "BUILDKIT_SCAN_DESTINATION": str(out),
        "PATH": os.environ["PATH"],
    }
    subprocess.run(["sh", "-c", SCANNER], env=environment, check=True)
    (written,) = out.iterdir()
    assert json.loads(written.read_text())["predicate"]["files"] == [{"fileName": "./file"}]
