"""`slipway inspect` shows what a registry has of a release, and of what strangers push."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.images import Pusher
from tests.integration.release.conftest import commit, git
from tests.releases import BASE, Traces, complaint, make_source, registry_login, result_of
from tests.warm import Ended, WarmStarter

SPDX = "https://spdx.dev/Document"
HOSTILE = "evil\x1b[2J\u202e\nslipway: released"


def sbom(image: dict[str, Any], *packages: str) -> tuple[str, bytes]:
    """A statement about an image; packages as NAME@VERSION."""
    named = [dict(zip(("name", "versionInfo"), package.split("@"), strict=True)) for package in packages]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": image["digest"].partition(":")[2]}}],
        "predicateType": SPDX,
        "predicate": {"packages": named},
    }
    return SPDX, json.dumps(statement).encode()


def test_releases_are_inspected(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """The newest by its name in the embedded registry, others by version or digest: platforms, steps of layers, labels,
    provenance, and what changed since the version before. Any width will do."""
    source = make_source(tmp_path / "app-inspected", BASE + "COPY file /file\n")
    (source / "file").write_text("one")
    git(source, "init", "--quiet", "--initial-branch=main")
    revisions, results = [], []
    for text in ("one", "two"):
        revisions.append(commit(source, f"feat: {text}", file=text))
        results.append(result_of(commands.run("release", source, "--git-remote", "-", "--format", "json")))
    first, second = results
    shown = json.loads(commands.run("inspect", source.name, "--format", "json").stdout)
    assert (shown["version"], shown["digest"], shown["size"]) == ("0.2.0", second["digest"], second["size"])
    (platform,) = shown["platforms"]
    assert {platform["platform"]: platform["digest"]} == second["platforms"]
    assert [layer["step"] for layer in platform["layers"]] == ["COPY busybox /bin/busybox", "COPY file /file"]
    assert platform["labels"]["org.opencontainers.image.revision"] == revisions[1]
    (attestation,) = platform["attestations"]
    assert attestation["provenance"]["run"] == second["flow_run_id"]
    assert attestation["provenance"]["builder"] == f"{second['ui_url']}#builder-shared"
    (change,) = shown["previous"]["changes"]
    assert (
        [layer["step"] for layer in change["added"]]
        == ["COPY file /file"]
        == [layer["step"] for layer in change["removed"]]
    )
    assert shown["previous"]["commits"] == f"git log --oneline {revisions[0][:12]}..{revisions[1][:12]}"

    ended = commands.run("inspect", f"{source.name}:0.1.0", env={"COLUMNS": "60"})
    assert ended.code == 0, ended.stderr
    assert first["digest"] in "".join(ended.stdout.split())
    assert "changes since" not in ended.stdout
    # But for a word, which is copied as a whole.
    assert [line for line in ended.stdout.splitlines() if len(line) > 60 and " " in line.strip()] == []
    ended = commands.run("inspect", f"{first['image']}@{first['digest']}", "--format", "json")
    assert json.loads(ended.stdout)["version"] == "0.1.0"


def test_what_does_not_exist(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """The error names what there is, or what to check."""
    with Pusher(str(traces.connection.registry), "app-known", registry_login(traces.connection)) as pusher:
        pusher.image("1.0.0", "1.1.0")
    said = complaint(commands.run("inspect", "app-known:3.0.0"))
    assert "app-known has no tag 3.0.0" in said and "1.1.0, 1.0.0" in said
    said = complaint(commands.run("inspect", "app-unknown"))
    assert "app-unknown has no released version" in said and "it has no version" in said
    said = complaint(commands.run("inspect", f"app-known@sha256:{'0' * 64}"))
    assert "has no digest sha256:000" in said
    complaint(commands.run("inspect", "no/such:tag:here"), 2)


def test_packages_that_changed(commands: WarmStarter, traces: Traces) -> None:
    """Where both versions have an SBOM."""
    with Pusher(str(traces.connection.registry), "app-packages", registry_login(traces.connection)) as pusher:
        for version, packages in (("1.0.0", ("musl@1.1", "app@1")), ("1.1.0", ("musl@1.2", "app@1"))):
            image = pusher.image(labels={"org.opencontainers.image.base.name": "docker.io/library/base:1"})
            attested = pusher.attestation(image, sbom=sbom(image, *packages))
            pusher.index(version, children=[(image, "linux/amd64"), (attested, "unknown/unknown")])
    ended = commands.run("inspect", "app-packages")
    assert ended.code == 0, ended.stderr
    assert "packages added: musl 1.2" in ended.stdout and "packages removed: musl 1.1" in ended.stdout
    assert "docker.io/library/base:1" in ended.stdout and "the same layers" in ended.stdout


def test_nothing_that_is_pushed_does_harm(commands: WarmStarter, traces: Traces) -> None:
    """Control characters do not reach the terminal; statements that are broken, about another image or not JSON are
    told of, and the rest is shown."""
    with Pusher(str(traces.connection.registry), "app-hostile", registry_login(traces.connection)) as pusher:
        image = pusher.image(labels={HOSTILE: HOSTILE, "org.opencontainers.image.revision": "x; rm -rf /"})
        other = pusher.image(labels={"is": "another"})
        attested = pusher.attestation(
            image,
            deep=(SPDX, b"[" * 100_000),
            other=sbom(other, "musl@1.1"),
            evil=(HOSTILE.replace("\n", ""), b"{}"),
        )
        pusher.index("1.0.0", children=[(image, "linux/amd64"), (attested, "unknown/unknown")])
    ended = commands.run("inspect", "app-hostile")
    assert ended.code == 0, ended.stderr
    _assert_harmless(ended)
    assert ended.stdout.count("not read") == 3
    assert "packages  " not in ended.stdout
    ended = commands.run("inspect", "app-hostile", "--format", "json")
    _assert_harmless(ended)
    assert HOSTILE in json.loads(ended.stdout)["platforms"][0]["labels"]


@pytest.mark.parametrize("credentials", [(), ("--credentials", "vault:secret/none")])
def test_a_registry_that_is_away(commands: WarmStarter, credentials: tuple[str, ...]) -> None:
    """A clear cause, with or without credentials."""
    complaint(commands.run("inspect", "127.0.0.1:1/app:1.0.0", *credentials))


def _assert_harmless(ended: Ended) -> None:
    assert "\x1b" not in ended.stdout and "\u202e" not in ended.stdout
    assert not [line for line in ended.stdout.splitlines() if line.startswith("slipway:")]
