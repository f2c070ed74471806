"""What the name of a branch says about its versions."""

from __future__ import annotations

import pytest

from prefect_slipway.infra.domain.errors import VersionOutOfLine
from prefect_slipway.infra.domain.version import Bump, MaintenanceLine, moving_tags, next_version, parse_version


@pytest.mark.parametrize(
    ("branch", "line"),
    [
        ("1.x", "1.x"),
        ("1.2.x", "1.2.x"),
        ("1.x.x", "1.x"),
        ("0.3.x", "0.3.x"),
        ("v2.x", "2.x"),
        ("release/1.2.x", "1.2.x"),
        ("team/maint/v1.x", "1.x"),
        ("stable-10.x", "10.x"),
        *(
            (name, None)
            for name in ("main", "", "x", "1", "1.2", "1.2.3", "1.2.3.x", "01.x", "1.x/topic", "v1.xx", "1.X")
        ),
        ("a" * 300 + "/1.x", None),
        ("9" * 5_000 + ".x", None),
    ],
)
def test_a_maintenance_branch_is_known_by_its_name(branch: str, line: str | None) -> None:
    """As semantic-release names them, after whatever people put before it."""
    found = MaintenanceLine.of(branch)
    assert (str(found) if found is not None else None) == line


@pytest.mark.parametrize(
    ("branch", "bump", "expected"),
    [
        ("1.2.x", Bump.PATCH, "1.2.4"),
        ("1.2.x", Bump.MINOR, None),
        ("1.x", Bump.MINOR, "1.3.0"),
        ("1.x", Bump.MAJOR, None),
        ("2.x", Bump.MAJOR, "2.0.0"),
        ("2.x", Bump.PATCH, None),
    ],
)
def test_a_maintenance_branch_takes_versions_of_its_line_only(branch: str, bump: Bump, expected: str | None) -> None:
    """Also those that are free."""
    line = [parse_version("1.2.3")]
    try:
        found = str(next_version(line, bump, within=MaintenanceLine.of(branch)))
    except VersionOutOfLine as error:
        assert error.cause.startswith(f"the branch {branch} takes versions {branch} only, and this would be ")
        found = None
    assert found == expected


@pytest.mark.parametrize(
    ("version", "released", "expected"),
    [
        ("2.0.0-beta.1", "1.0.0", ["beta"]),
        ("2.0.0-beta.10", "2.0.0-beta.9 2.0.0-next.11 2.0.0", ["beta"]),
        ("2.0.0-beta.1", "2.0.0-beta.2", []),
        ("2.0.0-beta.1", "2.1.0-beta.1", []),
        ("2.0.0-betamax.1", "", []),
        ("2.0.0-rc.1", "", []),
        ("2.0.0", "2.0.0-beta.1", ["2", "2.0", "latest"]),
    ],
)
def test_the_tag_of_a_channel_moves_to_its_highest_prerelease(version: str, released: str, expected: list[str]) -> None:
    """And `latest` to none."""
    assert moving_tags(parse_version(version), map(parse_version, released.split()), "beta") == expected
