"""What of a provenance is taken over to build an image again: its writer may be a stranger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.flows.rebuilding.recipe import Recipe
from prefect_slipway.infra.domain.errors import InvalidOption, NotRebuildable
from prefect_slipway.infra.registry.images import PlatformImage
from prefect_slipway.infra.registry.model import OCI_MANIFEST, Manifest
from prefect_slipway.infra.source.checkout import Checkout

DIGEST = "sha256:" + "1" * 64
REVISION = "a" * 40
ARGS = {
    "build-arg:SOURCE_DATE_EPOCH": "1700000000",
    "build-arg:A": "1",
    "label:b": "2",
    "target": "final",
    "slipway:path": "services/app",
    "slipway:file": "app.dockerfile",
    "add-hosts": "a=1.2.3.4,b=::1",
    "shm-size": "1024",
    "context:base": f"docker-image://r.example/base@{DIGEST}",
}
MATERIALS = [
    {"uri": "pkg:docker/alpine@3.20?platform=linux%2Famd64", "digest": {"sha256": "1" * 64}},
    {"uri": "pkg:docker/r.example%3A5000/b@1?digest=sha256:2", "digest": {"sha256": "2" * 64}},
    {"uri": "https://example.com/file", "digest": {"sha256": "3" * 64}},
]


def predicate(version: int = 1, **changes: Any) -> dict[str, Any]:
    """Of either format. A changed argument that is None is left out."""
    args = {key: value for key, value in {**ARGS, **changes.pop("args", {})}.items() if value is not None}
    request = {"frontend": "dockerfile.v0", "args": args, "locals": [{"name": "context"}], **changes.pop("request", {})}
    vcs = {"revision": changes.pop("revision", REVISION)}
    materials = changes.pop("materials", MATERIALS)
    assert not changes
    if version == 1:
        return {
            "buildDefinition": {"externalParameters": {"request": request}, "resolvedDependencies": materials},
            "runDetails": {"metadata": {"buildkit_metadata": {"vcs": vcs}}},
        }
    return {
        "invocation": {"parameters": request, "configSource": {"entryPoint": "other.dockerfile"}},
        "metadata": {"https://mobyproject.org/buildkit@v1#metadata": {"vcs": vcs}},
        "materials": materials,
    }


def image() -> PlatformImage:
    raw = {"schemaVersion": 2, "annotations": {"c": "3"}, "layers": []}
    return PlatformImage("linux/amd64", Manifest.parse(json.dumps(raw).encode(), OCI_MANIFEST))


@pytest.mark.parametrize("version", [0, 1])
def test_what_is_taken_over(version: int) -> None:
    """The same of both formats; base images by their digests, unless the Dockerfile has one itself."""
    found = Recipe.read(image(), predicate(version))
    assert (found.revision, found.path, found.file, found.target) == (
        REVISION,
        "services/app",
        "app.dockerfile",
        "final",
    )
    assert (found.epoch, found.args, found.labels) == (1_700_000_000, {"A": "1"}, {"b": "2"})
    assert found.annotations == {"manifest:c": "3"}
    assert (found.add_hosts, found.shm_size) == ((("a", "1.2.3.4"), ("b", "::1")), 1024)
    assert found.contexts == {"base": f"docker-image://r.example/base@{DIGEST}"}
    assert found.bases is not None
    (rule,) = found.bases.rules
    assert rule.to == f"docker-image://docker.io/library/alpine:3.20@{DIGEST}"


def test_the_dockerfile_of_an_older_release() -> None:
    """Before there was a record of its place: by its name."""
    assert Recipe.read(image(), predicate(0, args={"slipway:file": None})).file == "other.dockerfile"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"revision": f"{REVISION}-dirty"}, "local changes"),
        ({"revision": "--upload-pack=x"}, "names no commit"),
        ({"revision": "main"}, "names no commit"),
        ({"args": {"build-arg:SOURCE_DATE_EPOCH": None}}, "not built to be reproducible"),
        ({"args": {"build-arg:SOURCE_DATE_EPOCH": "now"}}, "not built to be reproducible"),
        ({"args": {"context": "https://evil.example/x.git"}}, "options that are not known here: context"),
        ({"args": {"context:x": "local:x"}}, "context x is not an image by its digest"),
        ({"args": {"context:x": "git://evil.example/x.git"}}, "context x is not an image by its digest"),
        ({"args": {"context:x": "docker-image://evil.example/x"}}, "context x is not an image by its digest"),
        ({"args": {"cgroup-parent": "/"}}, "options that are not known here: cgroup-parent"),
        ({"args": {"slipway:file": "../../etc/passwd"}}, "outside the source"),
        ({"args": {"slipway:file": "/etc/passwd"}}, "outside the source"),
        ({"args": {"slipway:file": "-"}}, "an inline Dockerfile"),
        ({"request": {"locals": [{"name": "context"}, {"name": "more"}]}}, "the directory more"),
        ({"request": {"secrets": [{"id": "token"}]}}, "secrets or SSH keys (token)"),
        ({"request": {"ssh": [{"id": "default"}]}}, "secrets or SSH keys (default)"),
        ({"materials": [{"uri": "pkg:docker/A B@1", "digest": {"sha256": "1" * 64}}]}, "a base image that is none"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], why: str) -> None:
    """Before anything is fetched or built."""
    with pytest.raises(NotRebuildable) as raised:
        Recipe.read(image(), predicate(**changes))
    assert why in str(raised.value)


def test_a_path_that_leads_out_of_the_source(tmp_path: Path) -> None:
    """Refused before it is built."""
    found = Recipe.read(image(), predicate(args={"slipway:path": "../.."}))
    with pytest.raises(InvalidOption):
        found.request(Checkout(tmp_path, "app", "git:1"), None, tmp_path)


def test_a_dockerfile_that_is_a_link_out_of_the_source(tmp_path: Path) -> None:
    """The commit is the provenance's choice, of all that the repository ever had."""
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "secret").write_text("FROM scratch\n")
    (source / "app.dockerfile").symlink_to(tmp_path / "secret")
    found = Recipe.read(image(), predicate(args={"slipway:path": None}))
    with pytest.raises(InvalidOption):
        found.request(Checkout(source, "app", "git:1"), None, tmp_path)
