"""`slipway inspect`: what attestations say, what changed, and text that fits whatever a registry says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.inspecting.attested import packages_of
from prefect_slipway.flows.inspecting.changes import compared
from prefect_slipway.flows.inspecting.read import previous
from prefect_slipway.flows.inspecting.shown import as_text
from prefect_slipway.flows.inspecting.values import Attestation, InspectedImage, Layer, Platform
from prefect_slipway.flows.request.inspected import InspectRequest
from prefect_slipway.flows.request.rebuild import RebuildRequest
from prefect_slipway.flows.request.verified import VerifyRequest
from prefect_slipway.infra.domain.labels import OCI_REVISION
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import image_tag, parse_version
from prefect_slipway.infra.registry.model import ImageConfig
from prefect_slipway.infra.signing.provenance import Material, Provenance, provenance_of

SPDX = "https://spdx.dev/Document"
SLSA = "https://slsa.dev/provenance/v1"
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
_NAMES = st.sampled_from(
    ["buildDefinition", "runDetails", "metadata", "builder", "invocation", "materials", "packages", "components", "id"]
)


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def platform(name: str, *layers: str, packages: tuple[str, ...] | None = None, revision: str = "") -> Platform:
    sbom = Attestation(SPDX, digest("5"), 10, packages=packages)
    return Platform(
        name,
        digest("e"),
        sum(map(len, layers)),
        labels={OCI_REVISION: revision} if revision else {},
        layers=tuple(Layer(digest(layer), 1_000_000, f"COPY {layer} /") for layer in layers),
        attestations=(sbom,) if packages is not None else (),
    )


def image(*platforms: Platform, version: str = "1.1.0", **more: Any) -> InspectedImage:
    return InspectedImage(
        "r.example/team/app", digest("f"), "application/vnd.oci.image.index.v1+json", 5, platforms, version, version,
        **more,
    )  # fmt: skip


def test_both_versions_of_slsa_tell_the_same() -> None:
    """Builder, source, revision, run and materials, wherever the format has them."""
    told = {"slipway:run": "r", "slipway:version": "1.0.0", "slipway:trigger": "command line", "slipway:ref": "main"}
    vcs = {"source": "https://g.example/app", "revision": "abc"}
    used = [{"uri": "pkg:docker/base@1", "digest": {"sha256": "1" * 64}}, {"uri": "https://e.example/x"}]
    newer = {
        "buildDefinition": {
            "externalParameters": {"request": {"args": told}},
            "resolvedDependencies": used,
        },
        "runDetails": {
            "builder": {"id": "https://b"},
            "metadata": {"startedOn": "1", "finishedOn": "2", "buildkit_metadata": {"vcs": vcs}},
        },
    }
    older = {
        "builder": {"id": "https://b"},
        "invocation": {"parameters": {"args": told}},
        "materials": used,
        "metadata": {
            "buildStartedOn": "1",
            "buildFinishedOn": "2",
            "https://mobyproject.org/buildkit@v1#metadata": {"vcs": vcs},
        },
    }
    expected = Provenance(
        "https://b", "https://g.example/app", "abc", "r", "1.0.0", "command line", "main", "1", "2",
        (Material("pkg:docker/base@1", digest("1")), Material("https://e.example/x")),
    )  # fmt: skip
    assert provenance_of(newer) == provenance_of(older) == expected


def test_packages_of_either_format() -> None:
    """SPDX and CycloneDX; a statement of another type has none."""
    spdx = {"packages": [{"name": "musl", "versionInfo": "1.2"}, {"name": "app"}, {"versionInfo": "1"}, 7]}
    assert packages_of(SPDX, spdx) == ("app", "musl 1.2")
    cyclone = {"components": [{"name": "musl", "version": "1.2"}]}
    assert packages_of("https://cyclonedx.org/bom", cyclone) == ("musl 1.2",)
    nested = {"components": [{"name": "app", "components": [cyclone["components"][0], {"components": [1]}]}]}
    assert packages_of("https://cyclonedx.org/bom", nested) == ("app", "musl 1.2")
    assert packages_of(SLSA, spdx) is None


@given(st.dictionaries(_NAMES, st.dictionaries(_NAMES, _JSON, max_size=3) | _JSON))
def test_a_strange_predicate_is_read_as_far_as_it_makes_sense(document: dict[str, Any]) -> None:
    """Whatever has another type than it should is missing."""
    assert isinstance(provenance_of(document).builder, str)
    assert all(isinstance(each, str) for each in packages_of(SPDX, document) or ())


@pytest.mark.parametrize(
    ("version", "before"),
    [("1.1.0", "1.0.0"), ("1.0.0", None), ("1.1.0-rc.2", "1.1.0-rc.1"), ("1.1.0-rc.1", "1.0.0"), ("2.0.0", "1.2.0")],
)
def test_the_version_before(version: str, before: str | None) -> None:
    """A stable version follows a stable one, a prerelease whatever is below it."""
    known = [parse_version(each) for each in ("1.0.0", "1.1.0-rc.1", "1.1.0-rc.2", "1.1.0", "1.2.0")]
    found = previous(parse_version(version), known)
    assert (str(found) if found is not None else None) == before


@pytest.mark.parametrize("model", [InspectRequest, VerifyRequest, RebuildRequest])
def test_a_version_with_build_metadata_is_its_tag(model: type[InspectRequest]) -> None:
    """As `slipway history` shows it."""
    request = model.read({"reference": "r.example/app:1.0.0+build.5"})
    assert ImageReference.parse(request.reference).tag == image_tag(parse_version("1.0.0+build.5"))


def test_what_changed() -> None:
    """Layers by digest, packages by name and version, platforms that only one version has; commits are the source's."""
    then = image(
        platform("linux/amd64", "a", "b", packages=("musl 1.1", "app 1"), revision="c1"),
        platform("linux/s390x", "a"),
        version="1.0.0",
    )
    now = image(
        platform("linux/amd64", "a", "c", packages=("musl 1.2", "app 1"), revision="c2"),
        platform("linux/arm64", "a"),
    )
    found = compared(now, then)
    assert (found.version, found.platforms_added, found.platforms_removed) == (
        "1.0.0",
        ("linux/arm64",),
        ("linux/s390x",),
    )
    (change,) = found.changes
    assert [layer.step for layer in change.added] == ["COPY c /"]
    assert [layer.step for layer in change.removed] == ["COPY b /"]
    assert (change.packages_added, change.packages_removed) == (("musl 1.2",), ("musl 1.1",))
    assert found.commits == "git log --oneline c1..c2"
    hostile = image(platform("linux/amd64", "a", revision="x; rm -rf /"))
    assert compared(hostile, then).commits == "git log --oneline 'c1..x; rm -rf /'"
    assert compared(then, then).commits == ""


@given(st.text(max_size=200), st.integers(0, 200))
def test_text_fits_the_terminal(word: str, width: int) -> None:
    """Each line is as wide as the terminal at most, and nothing in it acts on one, whatever the registry says."""
    found = Provenance(word, word, word, word, word, word, word, word, word, (Material(word),))
    attested = (Attestation(word, digest("7"), 1, found), Attestation(SLSA, digest("7"), 1, problem=word))
    layers = (Layer(digest("a"), 10**12, word),)
    one = Platform(word, digest("e"), 5, word, {word: word}, layers, attested)
    shown = image(one, base=(word,), used=(word,), previous=compared(image(one), image(platform("linux/amd64", "a"))))
    lines = as_text(shown, width).splitlines()
    # But for a word, which is copied as a whole.
    assert [line for line in lines if len(line) > max(width, 40) and " " in line.strip()] == []
    assert not [line for line in lines if "\x1b" in line or "\u202e" in line]
    assert json.loads(json.dumps(shown.as_dict()))["platforms"][0]["platform"] == word


def test_layers_are_shown_with_the_steps_that_made_them() -> None:
    """From the configuration's history, without the entries that made no layer."""
    history = [{"created_by": "COPY a /"}, {"created_by": "ENV x=1", "empty_layer": True}, {"created_by": "RUN b"}, 7]
    config = ImageConfig.parse(json.dumps({"history": history}).encode(), digest("a"))
    assert config.steps == ("COPY a /", "RUN b")
    shown = as_text(image(platform("linux/amd64", "a")), 60)
    assert f"    {'a' * 12}    1.0 MB COPY a /" in shown.splitlines()
