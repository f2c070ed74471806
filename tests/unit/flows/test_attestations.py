"""Which attestations a release attaches: by default, by its options, and by entries of its own."""

from __future__ import annotations

import pytest

from prefect_slipway.flows.build_options.attest import attestations, attests
from prefect_slipway.flows.planning.provenance import builder_id, recorded
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.values.plan import ReleasePlan, SourceFacts
from prefect_slipway.infra.buildkit.build.daemon_version import no_attestations
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.build.solve import solve_request
from prefect_slipway.infra.domain.errors import InvalidOption, InvalidReference

RUN = "http://ui/run"
FULL = f"mode=max,version=v1,builder-id={RUN}"
DIGEST = f"sha256:{'a' * 64}"


def of(*entries: str, provenance: str | None = None, sbom: str = "off") -> tuple[dict[str, str], tuple[str, ...]]:
    return attestations(entries, provenance=provenance, sbom=sbom, builder_id=RUN)


def test_the_default_is_all_provenance_that_the_builder_can_attach() -> None:
    """It is required only where it was asked for."""
    assert of() == ({"provenance": FULL}, ())
    assert of(provenance="max") == ({"provenance": FULL}, ("provenance",))
    assert of(provenance="min") == ({"provenance": FULL.replace("max", "min")}, ("provenance",))
    assert of(provenance="off") == ({}, ())


@pytest.mark.parametrize(
    ("sbom", "attributes"),
    [
        ("on", ""),
        ("true", ""),
        (f"r.example/scanner@{DIGEST}", f"generator=r.example/scanner@{DIGEST}"),
        ("scanner:1", "generator=scanner:1"),
        ("generator=scanner:1,extra=2", "generator=scanner:1,extra=2"),
    ],
)
def test_an_sbom_is_required_where_it_is_asked_for(sbom: str, attributes: str) -> None:
    """By the daemon's own generator, by an image, or with attributes."""
    assert of(sbom=sbom) == ({"sbom": attributes, "provenance": FULL}, ("sbom",))


@pytest.mark.parametrize("sbom", ["off", "false", "0"])
def test_no_sbom(sbom: str) -> None:
    """However that is said."""
    assert of(sbom=sbom, provenance="off") == ({}, ())


def test_entries_with_attributes_win() -> None:
    """What they do not say is added; what they turn off stays off."""
    assert of("type=provenance,mode=min", provenance="max")[0] == {"provenance": FULL.replace("max", "min")}
    assert of("type=provenance,version=v0.2,builder-id=https://b") == (
        {"provenance": "mode=max,version=v0.2,builder-id=https://b"},
        ("provenance",),
    )
    assert of("type=provenance,disabled=true", provenance="max") == ({}, ())
    assert of("type=sbom,generator=own:1", sbom="on")[0]["sbom"] == "generator=own:1"
    assert attests(["type=provenance,mode=min"], provenance="mode=max") == {"provenance": "mode=min"}


def test_attributes_survive_commas() -> None:
    """A daemon reads them as CSV."""
    found, _ = attestations([], provenance="max", sbom="off", builder_id='https://b/?a="1",2')
    assert found["provenance"] == 'mode=max,version=v1,"builder-id=https://b/?a=""1"",2"'


def test_what_cannot_be_read_is_refused_with_the_request() -> None:
    """A generator that is no image, an entry without a type, a mode that there is not."""
    with pytest.raises(InvalidReference):
        ReleaseRequest.read({"build": {"sbom": "Not An Image"}})
    with pytest.raises(InvalidOption, match="no type"):
        ReleaseRequest.read({"build": {"attest": ["mode=max"]}})
    with pytest.raises(InvalidOption):
        ReleaseRequest.read({"build": {"provenance": "much"}})


def test_a_set_takes_them_and_no_other_option_of_one_image() -> None:
    """Its files say the rest."""
    request = ReleaseRequest.read({"bake": {}, "build": {"provenance": "min", "sbom": "on"}})
    assert request.build.attestation_options == {"provenance": "min", "sbom": "on"}
    with pytest.raises(InvalidOption, match=r"build\.pull cannot be combined with bake"):
        ReleaseRequest.read({"bake": {}, "build": {"provenance": "min", "pull": True}})


def test_the_daemon_is_told_what_only_a_release_knows() -> None:
    """Beside the attributes that its frontend reads; a tree with changes is not its commit."""
    source = SourceFacts("app", "/src", "f", revision="b" * 40, url="https://git.example/app")
    plan = ReleasePlan(source, "1.2.0", "why", ())
    facts = recorded(plan, "run-id", "schedule nightly\x1b[2J", "f\udce9at")
    assert facts == {
        "vcs:source": "https://git.example/app",
        "vcs:revision": "b" * 40,
        "slipway:run": "run-id",
        "slipway:version": "1.2.0",
        "slipway:trigger": "schedule nightly",
        "slipway:ref": "f\ufffdat",
    }
    request = BuildRequest("https://c.example/x.git", attests={"provenance": FULL}, recorded=facts)
    attributes = solve_request(request, "ref", "session").FrontendAttrs
    assert facts.items() <= attributes.items()
    assert attributes["attest:provenance"] == FULL
    dirty = ReleasePlan(SourceFacts("app", "/src", "f", revision="b" * 40, dirty=True), "1.2.0", "why", ())
    assert recorded(dirty, "run-id", "", "") == {
        "vcs:revision": f"{'b' * 40}-dirty",
        "slipway:run": "run-id",
        "slipway:version": "1.2.0",
    }


def test_the_builder_is_known_by_its_run() -> None:
    """By its page, unless that would tell a password; and by how long it lives."""
    page = "https://prefect.example/runs/1234"
    assert builder_id("1234", page, of_this_run=True) == f"{page}#builder-run"
    assert builder_id("1234", page, of_this_run=False) == f"{page}#builder-shared"
    assert builder_id("1234", page.replace("://", "://me:secret@"), of_this_run=True) == "urn:uuid:1234#builder-run"
    assert builder_id("1234", None, of_this_run=False) == "urn:uuid:1234#builder-shared"
    assert builder_id(None, None, of_this_run=True) == ""


@pytest.mark.parametrize(
    ("version", "none"),
    [("v0.10.6", True), ("v0.11.0", False), ("v0.12.5", False), ("v0.31.0", False), ("v0.0.0+unknown", False)],
)
def test_daemons_that_cannot_attest(version: str, none: bool) -> None:
    """Before v0.11 they pass over the wish."""
    assert no_attestations(version) is none
