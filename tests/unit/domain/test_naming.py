"""What a run is called from its first moment, when only its request is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_slipway.infra.domain.naming import image_title, place_title, source_name, source_place


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [
        ("https://git.example.com/team/app.git", "", "app"),
        ("https://git.example.com/team/app.git", "services/web/", "web"),
        ("https://robot:secret@git.example.com/team/app?token=secret#main", "", "app"),
        ("https://secret@git.example.com", "", "source"),
        ("git@git.example.com:team/app.git", "", "app"),
        ("ssh://git@git.example.com:2222/team/app/.git", "", "app"),
        ("https://example.com/dist/app-1.0.tar.gz", "", "app-1.0"),
        ("https://example.com/app.zip?X-Amz-Signature=secret", "", "app"),
        ("block:app", "", "app"),
        ("/srv/app/", "", "app"),
        ("/", "", "source"),
        ("a\0b", "", "source"),
    ],
)
def test_a_source_is_called_by_its_last_part(text: str, path: str, name: str) -> None:
    """Repository, archive, directory or block; and nothing of a URL that may be a secret."""
    assert source_name(text, path) == name


def test_this_directory_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.` says nothing."""
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path / "app")
    assert source_name(".") == "app"
    assert source_name("../app/.") == "app"


def test_a_directory_is_told_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the reports of two early failures in two directories have two keys; what is no directory stays."""
    monkeypatch.chdir(tmp_path)
    assert source_place(".") == str(tmp_path)
    assert source_place("app") == str(tmp_path / "app")
    for text in ("https://git.example.com/app.git", "git@git.example.com:app.git", "block:app", "vault:kv/a#b", "a\0b"):
        assert source_place(text) == text


def test_an_image_is_called_by_its_repository() -> None:
    """Two teams' images of one name differ; a digest is as long as people compare."""
    assert image_title("registry.example.com:5000/team/app") == "team/app"
    assert image_title("registry.example.com/team/app:1.2.3") == "team/app:1.2.3"
    assert image_title(f"r.example/app@sha256:{'0a' * 32}") == "app@sha256:0a0a0a0a0a0a"


def test_a_workload_is_called_by_all_that_is_given() -> None:
    """Its namespace, container and cluster tell it from others of its name."""
    assert place_title("deployment/app") == "deployment/app"
    assert place_title("deployment/app", "shop", "live", "web") == "shop/deployment/app (web) of live"
