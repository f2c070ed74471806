"""A changelog keeps what stands in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.notes.changelog import with_notes
from prefect_slipway.infra.domain.changelog import changelog_commit, is_changelog_commit, skips_ci

DATE = "2026-11-26"


def _with(text: str, version: str = "1.2.0") -> str:
    written = with_notes(text, version, DATE, "### Features\n\n- more")
    assert written is not None
    return written


def test_a_new_changelog_begins_with_a_title() -> None:
    """And with the newest version."""
    first = _with("")
    assert first == f"# Changelog\n\n## 1.2.0 - {DATE}\n\n### Features\n\n- more\n"
    second = _with(first, "1.3.0")
    assert second.startswith(f"# Changelog\n\n## 1.3.0 - {DATE}\n\n### Features\n\n- more\n\n## 1.2.0 - ")


@pytest.mark.parametrize(
    ("heading", "ours"),
    [
        ("## [1.1.0] - 2025-01-01", f"## [1.2.0] - {DATE}"),
        ("## v1.1.0 (2025-01-01)", f"## v1.2.0 ({DATE})"),
        ("## [1.1.0](https://example.com/v1.0.0...v1.1.0) (2025-01-01)", f"## 1.2.0 - {DATE}"),
        ("## app 1.1.0", "## app 1.2.0"),
        ("1.1.0 / 2025-01-01\n------------------", f"## 1.2.0 / {DATE}"),
        ("## Version 1.1.0 ##", "## Version 1.2.0"),
    ],
)
def test_headings_look_like_the_others(heading: str, ours: str) -> None:
    """With the version and the date of today."""
    text = f"# Log\n\nIntro.\n\n{heading}\n\n- old\n"
    assert _with(text) == f"# Log\n\nIntro.\n\n{ours}\n\n### Features\n\n- more\n\n{heading}\n\n- old\n"


@pytest.mark.parametrize(
    ("others", "ours"),
    [
        # semantic-release's, standard-version's, those of express and its like, and a group of versions.
        (
            "# [1.1.0](https://x/a) (2025-01-01)\n\n* x\n\n## [1.0.1](https://x/b) (2025-01-01)\n\n# 1.0.0\n",
            f"## 1.2.0 - {DATE}",
        ),
        (
            "### [1.1.1](https://x/a) (2025-01-01)\n\n### Bug Fixes\n\n* x\n\n## 1.1.0 (2025-01-01)\n",
            f"## 1.2.0 - {DATE}",
        ),
        (
            "1.1.0 / 2025-01-01\n==================\n\n  * x\n\n1.0.0 / 2024-01-01\n==================\n",
            f"# 1.2.0 / {DATE}",
        ),
        ("## 1.x\n\n### 1.1.0\n\n- x\n", "## 1.2.0"),
    ],
)
def test_versions_in_headings_of_other_levels(others: str, ours: str) -> None:
    """What is new comes first."""
    intro = "# Log\n\n<!--\n## 9.9.9 - how it is written\n-->\n\n"
    assert _with(intro + others) == f"{intro}{ours}\n\n### Features\n\n- more\n\n{others}"


def test_headings_of_no_version_stay_where_they_are() -> None:
    """The newest version comes before the versions, not before them."""
    assert _with("# Log\n\n## How to read it\n\n## 1.1.0\n").startswith("# Log\n\n## How to read it\n\n## 1.2.0\n")


def test_unreleased_stays_above() -> None:
    """With what stands in it; without any version the notes follow it, above the links at the end."""
    unreleased = "# Log\n\n## [Unreleased]\n\n### Added\n\n- soon\n"
    links = "\n[Unreleased]: https://example.com\n"
    assert _with(f"{unreleased}\n## [1.1.0]\n").startswith(f"{unreleased}\n## [1.2.0]\n\n### Features")
    alone = _with(unreleased + links)
    assert alone.startswith(f"{unreleased}\n## 1.2.0 - {DATE}\n")
    assert alone.endswith(f"- more\n{links}")


def test_a_version_is_written_once() -> None:
    """In whatever form its heading is; one that only looks alike is another."""
    for heading in (
        "## 1.2.0",
        "## [v1.2.0] - 2026-01-01",
        "1.2.0\n-----",
        "## app/v1.2.0",
        "# 1.2.0",
        "### [1.2.0](x) (2026-01-01)",
    ):
        assert with_notes(f"# Log\n\n{heading}\n", "1.2.0", DATE, "x") is None
    for heading in ("## 1.2.0-rc.1", "## 11.2.0", "# About 1.2.0", "```\n## 1.2.0\n```", "<!--\n## 1.2.0\n-->"):
        assert with_notes(f"# Log\n\n{heading}\n", "1.2.0", DATE, "x") is not None


def test_line_ends_stay() -> None:
    """Those of the file; each line keeps its own."""
    mixed = "# Log\r\n\n## 1.1.0  \n\n\n"
    assert _with(mixed) == mixed.replace("## 1.1", "## 1.2.0\n\n### Features\n\n- more\n\n## 1.1")
    assert _with("\ufeff") == "\ufeff" + _with("")
    assert _with("# Log\r\n\r\nx").endswith(
        "\r\n\r\nx\r\n\r\n## 1.2.0 - 2026-11-26\r\n\r\n### Features\r\n\r\n- more\r\n"
    )
    assert _with("# Log\r\n\r\n## 1.1.0\r\n").count("\r\n") == _with("# Log\n\n## 1.1.0\n").count("\n")


@given(
    st.lists(st.sampled_from(["# T", "## 1.0.0", "## Unreleased", "- x", "", "```", "~~~", "1.1.1", "---", "[a]: b"]))
)
def test_nothing_is_lost(lines: list[str]) -> None:
    """Every line that was there is there, in its order, and once more is not written."""
    written = _with("\n".join(lines))
    rest = iter(written.split("\n"))
    assert all(any(line == other for other in rest) for line in lines if line)
    again = with_notes(written, "1.2.0", DATE, "x")
    assert again is None or "```" in lines or "~~~" in lines


def test_the_commit_is_known() -> None:
    """By all of its message; anybody else's is not taken for it."""
    message = changelog_commit("app/v1.2.0")
    assert is_changelog_commit(message) and skips_ci(message)
    assert not is_changelog_commit("chore(release): changelog of v1.2.0 [skip ci]")
    assert not is_changelog_commit(f"feat: x\n\n{message}")
    assert not skips_ci("fix: skip ci")
