"""A release carries how it was built: provenance by default, an SBOM on request, as docker buildx attaches them."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.registry.model import OCI_INDEX, OCI_MANIFEST
from tests import patient
from tests.conftest import clean_environment
from tests.contract.buildkit.bridged import bridged_engine, listening_there, may_make_namespaces
from tests.contract.buildkit.relay import Relay
from tests.contract.buildkit.test_attestations import SCANNER
from tests.forges.double import TOKEN, forge_double
from tests.integration.release.conftest import commit, git
from tests.integration.release.keys import Place
from tests.releases import BASE, Traces, complaint, make_source, registry_login, result_of, run_line
from tests.warm import WarmStarter

ARGUMENTS = "ARG TOLD=nothing\n"
SLSA = "https://slsa.dev/provenance/"
SPDX = "https://spdx.dev/Document"


@dataclass(frozen=True)
class Held:
    """What the stack's registry has of an image."""

    traces: Traces
    repository: str

    def get(self, path: str) -> Any:
        answer = patient.get(
            f"http://{self.traces.connection.registry}/v2/{self.repository}/{path}",
            auth=registry_login(self.traces.connection),
            headers={"Accept": f"{OCI_INDEX}, {OCI_MANIFEST}"},
        )
        return answer.raise_for_status().json()

    def manifest(self, reference: str) -> Any:
        return self.get(f"manifests/{reference}")

    def statements(self, reference: str) -> list[dict[str, Any]]:
        """The statements in an index, each about an image in it."""
        children = self.manifest(reference)["manifests"]
        images = [child["digest"] for child in children if child["platform"]["os"] != "unknown"]
        found = []
        for child in children:
            if child["digest"] not in images:
                assert child["annotations"]["vnd.docker.reference.digest"] in images
                layers = self.manifest(child["digest"])["layers"]
                found += [self.get(f"blobs/{layer['digest']}") for layer in layers]
        return found

    def provenance(self, reference: str) -> dict[str, Any]:
        (found,) = [each for each in self.statements(reference) if each["predicateType"].startswith(SLSA)]
        predicate: dict[str, Any] = found["predicate"]
        return predicate


def parameters(predicate: dict[str, Any]) -> dict[str, str]:
    """What was asked of the frontend: SLSA v1, or v0.2 of older daemons."""
    found: dict[str, str] = (
        predicate["buildDefinition"]["externalParameters"]["request"]["args"]
        if "buildDefinition" in predicate
        else predicate["invocation"]["parameters"]["args"]
    )
    return found


def builder_id(predicate: dict[str, Any]) -> str:
    return str(predicate.get("runDetails", predicate)["builder"]["id"])


def test_a_release_carries_its_provenance(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """Source, revision, run, version and trigger are in it, arguments and steps as well, but no secret; the result says
    which digest is the platform's own."""
    source = make_source(
        tmp_path / "app-proven",
        f"{BASE}{ARGUMENTS}RUN --mount=type=secret,id=npm {json.dumps(['/bin/busybox', 'true'])}\n",
    )
    git(source, "init", "--quiet", "--initial-branch=main")
    git(source, "remote", "add", "origin", "https://git.example/team/app.git")
    revision = commit(source, "feat: first")
    (tmp_path / "npm").write_text("a-secret-of-the-build")
    options = ("--build-arg", "TOLD=much", "--secret", f"id=npm,src={tmp_path / 'npm'}", "--git-remote", "-")
    result = result_of(commands.run("release", source, *options, "--format", "json"))
    held = Held(traces, source.name)
    index = held.manifest("0.1.0")
    (image,) = [child for child in index["manifests"] if child["platform"]["os"] != "unknown"]
    assert result["platforms"] == {f"{image['platform']['os']}/{image['platform']['architecture']}": image["digest"]}
    assert result["images"][0]["platforms"] == result["platforms"]
    (kind,) = result["images"][0]["attestations"]
    assert kind.startswith(SLSA)
    plain = held.manifest(image["digest"])
    assert result["size"] == plain["config"]["size"] + sum(layer["size"] for layer in plain["layers"])
    assert plain["annotations"]["org.opencontainers.image.version"] == "0.1.0"

    predicate = held.provenance("0.1.0")
    text = json.dumps(predicate)
    for fact in (revision, "https://git.example/team/app"):
        assert fact in text
    asked = parameters(predicate)
    run = traces.runs(f"{source.name} 0.1.0")[0]["id"]
    assert (asked["slipway:run"], asked["slipway:version"]) == (run, "0.1.0")
    assert asked["slipway:trigger"] == "command line"
    assert builder_id(predicate) == f"{result['ui_url']}#builder-shared"
    assert asked["build-arg:TOLD"] == "much"
    assert "COPY busybox" in text or "COPY busybox" in base64.b64decode(_dockerfile(predicate)).decode()
    assert "a-secret-of-the-build" not in text
    report = traces.report(run)
    assert image["digest"] in report and "SLSA provenance v" in report


def test_less_or_no_provenance(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """`min` leaves arguments and steps out; `off` makes a plain manifest, of the digest that the result names for its
    platform; an attestation with attributes of its own wins."""
    source = make_source(tmp_path / "app-less", BASE + ARGUMENTS)
    options = ("--build-arg", "TOLD=much", "--format", "json")
    held = Held(traces, source.name)
    result_of(commands.run("release", source, "--provenance", "min", *options))
    asked = parameters(held.provenance("0.1.0"))
    assert asked["slipway:version"] == "0.1.0"
    assert not [key for key in asked if key.startswith(("build-arg:", "label:"))]

    result = result_of(commands.run("release", source, "--provenance", "off", *options))
    manifest = held.manifest("0.2.0")
    assert "layers" in manifest
    assert list(result["platforms"].values()) == [result["digest"]]
    assert result["images"][0]["attestations"] == []

    own = ("--attest", "type=provenance,mode=min,builder-id=https://own.example/builder")
    result_of(commands.run("release", source, "--provenance", "max", *own, *options))
    predicate = held.provenance("0.3.0")
    assert builder_id(predicate) == "https://own.example/builder"
    assert "build-arg:TOLD" not in parameters(predicate)


def test_it_is_what_docker_buildx_attaches(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """From the same engine, in the same form: the same manifests, the same predicate with the same fields."""
    source = make_source(tmp_path / "app-oracle", BASE + ARGUMENTS)
    result_of(commands.run("release", source, "--provenance", "max", "--format", "json"))
    held = Held(traces, source.name)
    registry, (user, password) = traces.connection.registry, registry_login(traces.connection)
    docker = tmp_path / "docker"
    docker.mkdir()
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (docker / "config.json").write_text(json.dumps({"auths": {str(registry): {"auth": auth}}}))
    env = clean_environment(
        DOCKER_HOST=traces.connection.builder.replace("docker://", "unix://"),
        DOCKER_CONFIG=str(docker),
        BUILDX_CONFIG=str(tmp_path / "buildx"),
    )
    name = f"{registry}/{source.name}:buildx"
    options = ("--provenance", "mode=max,version=v1", "--output", f"type=image,push=true,name={name}")
    for command in (("buildx", "build", *options, str(source)), ("image", "rm", name)):
        done = subprocess.run(["docker", *command], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    ours, theirs = held.statements("0.1.0"), held.statements("buildx")
    assert [each["predicateType"] for each in ours] == [each["predicateType"] for each in theirs]
    assert [_shape(each) for each in ours] == [_shape(each) for each in theirs]
    mine, others = (held.manifest(tag)["manifests"] for tag in ("0.1.0", "buildx"))
    assert [(each["mediaType"], each["platform"]) for each in mine] == [
        (each["mediaType"], each["platform"]) for each in others
    ]


def test_a_set_has_provenance_too(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """Each image of a bake file. A target's own attestations win over the default, and what is typed over both, as with
    docker buildx bake."""
    source = make_source(tmp_path / "attested-set", BASE)
    registry = traces.connection.registry
    targets = {
        "one": {"tags": [f"{registry}/{source.name}/one"]},
        "two": {"tags": [f"{registry}/{source.name}/two"], "attest": ["type=provenance,disabled=true"]},
    }
    bake = {"group": {"default": {"targets": ["one", "two"]}}, "target": targets}
    (source / "docker-bake.json").write_text(json.dumps(bake))
    bake_it: tuple[str | Path, ...] = ("bake", "--source", source, "--format", "json")
    result_of(commands.run(*bake_it))
    assert parameters(Held(traces, f"{source.name}/one").provenance("0.1.0"))["slipway:version"] == "0.1.0"
    assert "layers" in Held(traces, f"{source.name}/two").manifest("0.1.0")
    result_of(commands.run(*bake_it, "--provenance", "min", "--version", "0.2.0"))
    for name in ("one", "two"):
        asked = parameters(Held(traces, f"{source.name}/{name}").provenance("0.2.0"))
        assert asked["slipway:version"] == "0.2.0" and not [key for key in asked if key.startswith("label:")]


@pytest.fixture
async def bridged(traces: Traces, tmp_path: Path) -> AsyncIterator[str]:
    """The address of an engine in whose network a scanner can run, and that reaches the stack's registry."""
    if not may_make_namespaces():
        pytest.skip("an engine with a network of its own needs root")
    host, _, port = str(traces.connection.registry).rpartition(":")
    with (
        bridged_engine(tmp_path / "engine") as (address, daemon),
        listening_there(daemon, int(port)) as there,
    ):
        async with Relay(lambda: asyncio.open_connection(host, int(port)), at=there):
            yield address


async def test_an_sbom_by_a_generator(
    commands: WarmStarter, traces: Traces, tmp_path: Path, bridged: str, place: Place
) -> None:
    """The generator's image, released and named by digest, scans what is released; its findings come with the
    provenance, and are a file of the release on a forge."""
    scanner = make_source(
        tmp_path / "app-scanner",
        BASE + 'COPY scan.sh /\nENV PATH=/bin\nENTRYPOINT ["/bin/busybox", "sh", "/scan.sh"]\n',
    )
    (scanner / "scan.sh").write_text(SCANNER)
    generated = ("--builder", bridged, "--image", f"{traces.connection.registry}/app-scanner", "--format", "json")
    generator = result_of(await asyncio.to_thread(commands.run, "release", scanner, *generated))
    source = make_source(tmp_path / "app-scanned", BASE)
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: first")
    place.vault.put("secret/forge", {"token": TOKEN})
    image = f"{traces.connection.registry}/app-scanned"
    sbom = f"{generator['image']}@{generator['digest']}"
    with forge_double("github") as forge:
        to = ("--forge", "github", "--forge-url", forge.api, "--forge-repository", "team/app")
        token = ("--forge-token", "vault:secret/forge", *place.credentials)
        on = ("--sbom", sbom, "--builder", bridged, "--image", image)
        result = result_of(
            await asyncio.to_thread(
                functools.partial(commands.run, "release", source, *on, *to, *token, env=place.as_root())
            )
        )
    kinds = result["images"][0]["attestations"]
    assert SPDX in kinds and any(kind.startswith(SLSA) for kind in kinds)
    (found,) = [
        each["predicate"] for each in Held(traces, source.name).statements("0.1.0") if each["predicateType"] == SPDX
    ]
    assert [file["fileName"] for file in found["files"]] == ["./bin/busybox"]
    ((name, file),) = forge.files.items()
    assert name.startswith("app-scanned-0.1.0-linux-") and name.endswith(".spdx.json")
    assert json.loads(file) == found
    assert forge.asset_names("v0.1.0") == [name] and not forge.releases["v0.1.0"]["draft"]


def test_an_sbom_that_cannot_be_made_fails_the_release(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """It was asked for: nothing is released without it, and the cause says what to do."""
    source = make_source(tmp_path / "app-unscanned", BASE + run_line("true"))
    ended = commands.run(
        "release", source, "--sbom", f"{traces.connection.registry}/no-generator:1", "--format", "json"
    )
    assert "no-generator:1 cannot be pulled" in complaint(ended)
    traces.assert_failed(source.name, "no-generator")


def test_a_builder_that_attaches_none(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """BuildKit attaches nothing to an image without layers, and tells nobody: a warning by default, and a failure with
    nothing public where it was asked for."""
    source = make_source(tmp_path / "app-bare", "FROM scratch\nLABEL nothing=else\n")
    ended = commands.run("release", source, "--provenance", "max", "--format", "json")
    assert "did not attach the provenance" in complaint(ended)
    traces.assert_failed(source.name, "NotAttested")
    result = result_of(commands.run("release", source, "--format", "json"))
    (warning,) = result["warnings"]
    assert "has no provenance" in warning
    assert (result["images"][0]["attestations"], list(result["platforms"].values())) == ([], [result["digest"]])


def _dockerfile(predicate: dict[str, Any]) -> str:
    """The Dockerfile in the metadata that BuildKit adds in mode max, in base64."""
    metadata = predicate.get("runDetails", predicate)["metadata"]
    known = metadata.get("buildkit_metadata") or metadata["https://mobyproject.org/buildkit@v1#metadata"]
    return str(known["source"]["infos"][0]["data"])


def _shape(value: Any) -> Any:
    """The fields of a predicate, without values and without what differs between clients: their own options."""
    if isinstance(value, dict):
        skipped = {"args", "vcs", "digestMapping", "layers", "steps", "llbDefinition"}
        return {key: _shape(each) for key, each in value.items() if key not in skipped}
    return type(value).__name__
