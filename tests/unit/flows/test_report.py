"""The report: the same facts for the UI and the terminal, and nothing that was not checked for secrets."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

from prefect_slipway.flows.reporting.report import Report
from prefect_slipway.flows.reporting.timeline import as_svg, as_text
from prefect_slipway.flows.values.plan import PlannedImage, ReleasePlan, SourceFacts
from prefect_slipway.flows.values.result import BuiltImage, ReleaseResult, StepTime, VerifiedImage
from prefect_slipway.infra.domain.errors import RegistryForbidden
from prefect_slipway.infra.domain.text import human_size

DIGEST = "sha256:" + "a" * 64
IMAGE = PlannedImage("image", "registry.example/team/app", ("1.3.0",))
PLAN = ReleasePlan(
    version="1.3.0",
    why="a feature",
    source=SourceFacts("app", "/src", "f", revision="b" * 40, url="https://git.example/app"),
    images=(IMAGE,),
    git_tag="v1.3.0",
    deciding_commits=("abc123 feat: a | b",),
    previous_version="1.2.0",
)
RESULT = ReleaseResult(
    image=IMAGE.image, released=True, reason="a feature", version="1.3.0", tags=("1.3.0", "1.3"), digest=DIGEST,
    reference=f"{IMAGE.image}:1.3.0@{DIGEST}", revision="b" * 40, ui_url="http://ui/run", duration_s=2.5,
    steps=4, cached_steps=1, size=1_500_000,
)  # fmt: skip
STEPS = (
    StepTime("[1/2] COPY <x> & y", 0.0, 1.0, cached=True),
    StepTime("[2/2] RUN z", 1.0, 2.5, failed=True),
)
PULL = ("slipway login", f"docker pull {RESULT.reference}")
BUILT = BuiltImage(IMAGE, DIGEST, 4, 1, STEPS)
REPORT = Report(PLAN, RESULT, (BUILT,), (VerifiedImage(BUILT, "m", 1_500_000, 2),), STEPS, pull=PULL)


def test_both_forms_tell_the_same_facts() -> None:
    """Whatever the terminal shows, the UI shows: versions, digests, sizes, cached share, pull command."""
    for text in (REPORT.as_markdown(), REPORT.as_text()):
        for fact in (DIGEST, "1.3.0, 1.3", "1.2.0", "b" * 40, "1.5 MB in 2 layers", "4, 1 cached (25 %)", "v1.3.0",
                     "slipway login", f"docker pull {IMAGE.image}:1.3.0@{DIGEST}"):  # fmt: skip
            assert fact in text
    assert "http://ui/run" in REPORT.as_text()


def test_the_picture_is_a_data_uri_of_well_formed_svg() -> None:
    """The UI strips inline SVG: the timeline travels as a picture that needs no network."""
    encoded = re.search(r"\(data:image/svg\+xml;base64,([^)]+)\)", REPORT.as_markdown())
    assert encoded is not None
    root = ElementTree.fromstring(base64.b64decode(encoded[1]))
    assert "[1/2] COPY <x> & y" in [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_timeline_of_very_many_steps_stays_a_picture() -> None:
    """The longest steps are kept, in their order."""
    steps = [StepTime(f"s{n}", float(n), n + (10.0 if n % 10 == 0 else 0.1)) for n in range(400)]
    shown = re.findall(r">s(\d+)<", as_svg(steps))
    assert len(shown) == 60
    assert [int(n) for n in shown] == sorted(int(n) for n in shown)
    assert {str(n) for n in range(0, 400, 10)} <= set(shown)


def test_no_steps_draw_an_empty_timeline() -> None:
    """A build that ended before its first step divides by nothing."""
    ElementTree.fromstring(as_svg([]))
    assert as_text([], 80) == []


def test_a_table_cell_survives_a_pipe() -> None:
    """A commit's subject cannot break the table."""
    assert "a \\| b" in REPORT.as_markdown()


def test_a_failure_shows_its_cause_and_next_action() -> None:
    """The report of a failed release names the cause; nothing claims to be released."""
    failed = replace(
        REPORT,
        error=RegistryForbidden("registry.example refuses the push (403)"),
        result=replace(RESULT, released=False, tags=(), digest=None, reference=None),
        pull=(),
    )
    text = failed.as_markdown()
    assert "was not released" in text
    assert "RegistryForbidden: registry.example refuses the push (403)" in text
    assert "Next: give the account" in text
    assert "docker pull" not in text


def test_what_was_not_done_is_said() -> None:
    """A release that is public, but not all that was asked for: in the record and on the terminal."""
    report = replace(REPORT, result=replace(RESULT, warnings=("app:latest was not moved to 1.2.3: HTTP 409 | x",)))
    assert "- WARN: app:latest was not moved to 1.2.3: HTTP 409 \\| x" in report.as_markdown()
    assert "  WARN: app:latest was not moved to 1.2.3: HTTP 409 | x" in report.as_text()
    assert "WARN" not in REPORT.as_markdown() + REPORT.as_text()


def test_an_unexpected_errors_text_is_not_shown() -> None:
    """Nobody checked it for secrets: its kind is all that the record tells."""
    text = replace(REPORT, error=RuntimeError("password=hunter2")).as_markdown()
    assert "RuntimeError" in text
    assert "hunter2" not in text


def test_sizes_are_in_decimal_units() -> None:
    """As registries show them."""
    assert [human_size(n) for n in (0, 999, 1000, 1_500_000, 2 * 10**12)] == [
        "0 B", "999 B", "1.0 kB", "1.5 MB", "2.0 TB",
    ]  # fmt: skip


def test_platforms_and_attestations_are_named() -> None:
    """Which digest is a platform's own, and what is attached, in words."""
    one = VerifiedImage(
        BUILT, "m", 1, 2, {"linux/arm64": "sha256:arm"}, ("https://slsa.dev/provenance/v1", "https://spdx.dev/Document")
    )
    for text in (replace(REPORT, verified=(one,)).as_markdown(), replace(REPORT, verified=(one,)).as_text()):
        assert "sha256:arm" in text and "SLSA provenance v1, SPDX SBOM" in text
