"""The commit of a release pull request, as forges merge it, and the version in other files."""

from __future__ import annotations

import pytest

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.release_commit import (
    approves,
    is_release_commit,
    release_message,
    with_trailer,
    with_version,
    without_trailer,
)
from prefect_slipway.infra.domain.version import parse_version

VERSION = parse_version("1.2.0")


@pytest.mark.parametrize(
    ("message", "approved"),
    [
        (release_message("1.2.0"), True),
        ("chore: release 1.2.0 (#12)\n\n" + with_trailer("## Features\n\n- a", "1.2.0"), True),
        ("chore: release 1.2.0 (#12)\n\n* a\n\nRelease-As: 1.2.0\n\n---------\n\nCo-authored-by: A <a@b.c>", True),
        ("chore: release 1.2.0\n", False),
        ("feat: more\n\nRelease-As: 1.2.0", False),
        ("chore: release 1.2.01\n\nRelease-As: 1.2.0", False),
        (release_message("1.3.0"), False),
        ('Revert "chore: release 1.2.0"\n\nRelease-As: 1.2.0', False),
    ],
)
def test_what_approves_a_version(message: str, approved: bool) -> None:
    """The pull request's own commit, or what a squash made of it."""
    assert approves(message, VERSION) is approved


def test_the_last_line_names_the_version() -> None:
    """Whatever is above it."""
    assert with_trailer("a\n\nRelease-As: 1.0.0\n", "1.2.0") == "a\n\nRelease-As: 1.2.0"
    assert without_trailer("a\r\n\r\nRelease-As: 1.0.0\r\n") == "a"
    assert is_release_commit(release_message("1.2.0")) and not is_release_commit("chore: release it")


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("1.1.0\n", "1.2.0\n"),
        ("1.1.0", "1.2.0"),
        ("\ufeffv1.1.0\r\n", "\ufeffv1.2.0\r\n"),
        ("", "1.2.0\n"),
        ('{"name": "a", "version": "1.1.0"}', '{"name": "a", "version": "1.2.0"}'),
        ('{\n  "version": "1.1.0",\n  "b": "3.0.0"\n}', '{\n  "version": "1.2.0",\n  "b": "3.0.0"\n}'),
        ('[project]\nversion = "1.1.0-rc.1"\n', '[project]\nversion = "1.2.0"\n'),
        ("name: a\nversion: 1.1.0\n", "name: a\nversion: 1.2.0\n"),
        ("A = '1.1.0'  # slipway-version\nversion = '3.0.0'\n", "A = '1.2.0'  # slipway-version\nversion = '3.0.0'\n"),
        ('[project]\nversion = "1.1.0.dev0"\n', '[project]\nversion = "1.2.0"\n'),
        ("version: v1.1.0rc1  # soon\r\n", "version: v1.2.0  # soon\r\n"),
        ("nothing here\n", None),
    ],
)
def test_the_version_in_a_file(text: str, changed: str | None) -> None:
    """The one that is the file's own, and nothing else; none is an error."""
    if changed is None:
        with pytest.raises(InvalidOption, match=r"package\.json has no version"):
            with_version(text, "1.2.0", "package.json")
    else:
        assert with_version(text, "1.2.0", "package.json") == changed
        assert with_version(changed, "1.2.0", "package.json") == changed


@pytest.mark.parametrize(
    "text",
    [
        '{"config": {"version": "3.0.0"}, "version": "1.1.0"}',
        '\ufeff{\r\n  "a": "${{\\"",\r\n  "b": {\r\n    "version": "3.0.0"\r\n  },\r\n  "version": "1.1.0"\r\n}\r\n',
        '{"description": "it says: a, version: 3.0.0", "version": "1.1.0"}',
        "dependencies:\n- name: db\n  version: 3.0.0\n- {name: x, version: 3.0.0}\nname: a\nversion: 1.1.0\n",
        '[workspace.dependencies]\na = { version = "3.0.0" }\n\n[workspace.package]\nversion = "1.1.0"\n',
        '[dependencies.a]\nversion = "3.0.0"\n\n[ package ] # it\n  version = "1.1.0"\n',
        '[[tool.x]]\nversion = "3.0.0"\n\n[tool.poetry]\nversion = "1.1.0"\n',
        '[tool.x]\nversion = "1.1.0"\n\n[tool.y]\nversion = "3.0.0"\n',
    ],
)
def test_the_outermost_version(text: str) -> None:
    """Not that of what the file depends on, or is configured with."""
    assert with_version(text, "1.2.0", "file") == text.replace("1.1.0", "1.2.0")
