"""Submodules that nobody fetched are found; nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

from prefect_slipway.infra.source.submodules import empty_submodules

GITMODULES = """\
[submodule "lib"]
\tpath = lib
\turl = ../lib.git
[submodule "b"]
    path=svc/a b
[submodule "full"]
\tpath = svc/full
[submodule "gone"]
\tpath = svc/gone
[submodule "outside"]
\tpath = ../outside
[submodule "elsewhere"]
\tpath = /etc
"""


def test_empty_submodules_are_named_relative_to_the_source(tmp_path: Path) -> None:
    """Those below the source; not what lies outside of the repository, whatever `.gitmodules` says."""
    root = tmp_path / "app"
    for folder in ("lib", "svc/a b", "svc/full", "../outside", "svc/also empty"):
        (root / folder).mkdir(parents=True)
    (root / "svc" / "full" / "file").write_text("x")
    assert empty_submodules(root, root) == ()
    (root / ".gitmodules").write_text(GITMODULES)
    assert empty_submodules(root, root) == ("lib", "svc/a b")
    assert empty_submodules(root / "svc", root) == ("a b",)
    assert empty_submodules(root / "lib", root) == ()


def test_a_gitmodules_that_leads_elsewhere_is_not_read(tmp_path: Path) -> None:
    """A source may hold any link."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "elsewhere").write_text(GITMODULES)
    (tmp_path / ".gitmodules").symlink_to(tmp_path / "elsewhere")
    assert empty_submodules(tmp_path, tmp_path) == ()
