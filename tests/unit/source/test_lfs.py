"""LFS pointers in an archive, or in a folder outside of git, are found; nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

from prefect_slipway.infra.source.lfs import archived_pointers, some_of

# docs/spec.md (git-lfs), "The Pointer".
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345\n"


def test_pointers_are_named_relative_to_the_source(tmp_path: Path) -> None:
    for name in ("model.bin", "svc/data/a.bin", "svc/b.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(POINTER)
    (tmp_path / "svc" / "whole.bin").write_bytes(b"\0" * 500)
    (tmp_path / "svc" / "link.bin").symlink_to("b.bin")
    assert archived_pointers(tmp_path, tmp_path, {}) == []
    (tmp_path / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    assert archived_pointers(tmp_path, tmp_path, {}) == ["model.bin", "svc/b.bin", "svc/data/a.bin"]
    assert archived_pointers(tmp_path / "svc", tmp_path, {}) == ["b.bin", "data/a.bin"]
    assert archived_pointers(tmp_path, tmp_path, {"GIT_LFS_SKIP_SMUDGE": "1"}) == []


def test_no_attributes_are_read_through_a_link(tmp_path: Path) -> None:
    """A source may hold any link."""
    (tmp_path / "model.bin").write_text(POINTER)
    (tmp_path / "elsewhere").write_text("*.bin filter=lfs\n")
    (tmp_path / ".gitattributes").symlink_to(tmp_path / "elsewhere")
    assert archived_pointers(tmp_path, tmp_path, {}) == []


def test_a_few_are_shown_and_the_rest_is_counted() -> None:
    assert some_of(["a", "b", "c"]) == "a, b, c"
    assert some_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
