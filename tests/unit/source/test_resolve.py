"""What kind of source a text names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.source.resolve import ArchiveSpec, DirectorySpec, GitSpec, SourceSpec, parse_source

SUM = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "options", "spec"),
    [
        (".", {}, DirectorySpec(Path())),
        ("some/where", {"path": "app/"}, DirectorySpec(Path("some/where/app"))),
        ("some/where", {"ref": "main"}, GitSpec("some/where", "main", "")),
        ("/srv/app.git", {}, GitSpec("/srv/app.git", None, "")),
        ("https://h/app.git", {}, GitSpec("https://h/app.git", None, "")),
        ("https://h/app", {"ref": "v1", "path": "x"}, GitSpec("https://h/app", "v1", "x")),
        ("https://h/app.git#v1.0.0", {}, GitSpec("https://h/app.git", "v1.0.0", "")),
        ("https://h/app.git#v1.0.0:sub/dir", {}, GitSpec("https://h/app.git", "v1.0.0", "sub/dir")),
        ("https://h/app.git#:sub", {"ref": "main"}, GitSpec("https://h/app.git", "main", "sub")),
        ("git+https://h/app.tar.gz", {}, GitSpec("git+https://h/app.tar.gz", None, "")),
        ("git@h:team/app.git", {}, GitSpec("git@h:team/app.git", None, "")),
        ("ssh://git@h/team/app", {}, GitSpec("ssh://git@h/team/app", None, "")),
        ("file:///srv/app.git", {}, GitSpec("file:///srv/app.git", None, "")),
        ("https://h/app.tar.gz", {"ref": "main"}, GitSpec("https://h/app.tar.gz", "main", "")),
        ("https://h/app-1.tar.gz", {"checksum": SUM}, ArchiveSpec("https://h/app-1.tar.gz", SUM, "")),
        ("https://h/dl/1234", {"checksum": SUM, "path": "a"}, ArchiveSpec("https://h/dl/1234", SUM, "a")),
        ("https://h/a.zip?sig=x#y", {"checksum": SUM}, ArchiveSpec("https://h/a.zip?sig=x", SUM, "")),
        ("file:///srv/app.tgz", {"checksum": SUM}, ArchiveSpec("file:///srv/app.tgz", SUM, "")),
        ("/srv/app name.zip", {"checksum": SUM}, ArchiveSpec("file:///srv/app%20name.zip", SUM, "")),
    ],
)
def test_a_source_is_recognised(text: str, options: dict[str, Any], spec: SourceSpec) -> None:
    """Directory, git or archive, by the rules in parse_source."""
    assert parse_source(text, **options) == spec


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, "no source"),
        ("https://h/app.tar.gz", {}, "needs its checksum"),
        ("https://h/app.zip?sig=x", {}, "needs its checksum"),
        ("https://h/app.tar.gz", {"checksum": "sha256:12"}, "is not a checksum"),
        ("https://h/app.tar.gz", {"checksum": SUM, "ref": "main"}, "ref belongs to git"),
        ("https://h/app.git#a", {"ref": "b"}, "in an option"),
        ("https://h/app.git#:a", {"path": "b"}, "in an option"),
        ("https://u:secret@h/app.git", {}, "password"),
        ("https://u:secret@h/app.zip", {"checksum": SUM}, "password"),
        ("ftp://h/app", {}, "not a git repository"),
        ("https://h:x/app", {}, "host or port"),
        ("https://h/app.git", {"ref": "-x"}, "not a git ref"),
        (".", {"path": "../up"}, "outside"),
    ],
)
def test_a_source_that_cannot_be_is_refused(text: str, options: dict[str, Any], words: str) -> None:
    """The usage error says what is wrong, and never a secret."""
    with pytest.raises(InvalidOption, match=words) as caught:
        parse_source(text, **options)
    assert "secret" not in str(caught.value)


def test_an_archive_on_this_machine_needs_its_checksum_too(tmp_path: Path) -> None:
    """A file with an archive's suffix is an archive; a directory of that name is a directory."""
    (tmp_path / "a.zip").write_bytes(b"")
    (tmp_path / "b.zip").mkdir()
    with pytest.raises(InvalidOption, match="needs its checksum"):
        parse_source(str(tmp_path / "a.zip"))
    assert parse_source(str(tmp_path / "b.zip")) == DirectorySpec(tmp_path / "b.zip")


def test_an_existing_path_with_a_colon_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there wins over what it looks like."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me@host:dir").mkdir()
    assert parse_source("me@host:dir") == DirectorySpec(Path("me@host:dir"))
