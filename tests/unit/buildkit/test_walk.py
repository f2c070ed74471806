"""The files of a context, in order and with their metadata."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.files.walk import Selection, follow_links, go_mode, has_content, walk
from prefect_slipway.infra.domain.errors import ContextError


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            (root / path).mkdir(exist_ok=True)
        else:
            (root / path).write_text(path)
    return root


def paths(root: Path, selection: Selection | None = None) -> list[str]:
    return [os.fsdecode(stat.path) for stat in walk(root, selection or Selection())]


def test_order_is_by_component(tmp_path: Path) -> None:
    """A folder comes before what it holds, names are sorted as bytes within their folder."""
    make(tmp_path, "a/x", "a.b", "a-b", "B", "a/ü", "a/z/")
    assert paths(tmp_path) == ["B", "a", "a/x", "a/z", "a/ü", "a-b", "a.b"]


def test_folders_of_picked_files_are_sent(tmp_path: Path) -> None:
    """An excluded folder is sent if something below it is an exception, and only then."""
    make(tmp_path, "a/b/keep", "a/b/drop", "a/c/drop", "d")
    selection = Selection(exclude=("a", "!a/b/keep"))
    assert paths(tmp_path, selection) == ["a", "a/b", "a/b/keep", "d"]


def test_includes_pick(tmp_path: Path) -> None:
    """With include patterns only what they name is sent, with the folders above it."""
    make(tmp_path, "src/main.c", "src/other.h", "doc/x", "Makefile")
    assert paths(tmp_path, Selection(include=("src/*.c", "Makefile"))) == ["Makefile", "src", "src/main.c"]


def test_links_are_followed_for_includes(tmp_path: Path) -> None:
    """A path that leads over links brings the links and what they point to."""
    make(tmp_path, "real/deep/file", "real/other", "unwanted")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    assert follow_links(os.fsencode(tmp_path), ["link/deep/file", "loop"]) == ["link", "loop", "real/deep/file"]
    assert paths(tmp_path, Selection(follow=("link/deep/file",))) == ["link", "real", "real/deep", "real/deep/file"]
    assert follow_links(os.fsencode(tmp_path), ["li*"]) == ["li*", "real"]
    assert follow_links(os.fsencode(tmp_path), ["."]) is None


def test_hard_links_name_the_first(tmp_path: Path) -> None:
    """The second name of a file carries the first that was sent, also when an earlier one is excluded."""
    make(tmp_path, "a", "d/")
    os.link(tmp_path / "a", tmp_path / "b")
    os.link(tmp_path / "a", tmp_path / "d" / "c")
    links = {stat.path: stat.linkname for stat in walk(tmp_path, Selection())}
    assert links == {b"a": b"", b"b": b"a", b"d": b"", b"d/c": b"a"}
    links = {stat.path: stat.linkname for stat in walk(tmp_path, Selection(exclude=("a",)))}
    assert links == {b"b": b"", b"d": b"", b"d/c": b"b"}


def test_owners_are_not_told(tmp_path: Path) -> None:
    """User and group are 0 for everyone; size and time are the file's, a folder has no size."""
    make(tmp_path, "d/f")
    os.utime(tmp_path / "d" / "f", ns=(0, 123_456_789_012_345_678))
    folder, file = walk(tmp_path, Selection())
    assert (folder.uid, folder.gid, folder.size) == (0, 0, 0)
    assert (file.uid, file.gid, file.size, file.modTime) == (0, 0, 3, 123_456_789_012_345_678)


def test_sockets_are_empty_files(tmp_path: Path) -> None:
    """A socket is announced as an empty regular file, as by fsutil."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        (stat,) = walk(tmp_path, Selection())
    assert (stat.path, stat.size, has_content(stat.mode)) == (b"s", 0, True)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    """A name's bytes are sent as they are."""
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff\n ")).touch()
    (stat,) = walk(tmp_path, Selection())
    assert stat.path == b"\xff\n "


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    """A directory that cannot be listed is a context error that names it."""
    with pytest.raises(ContextError, match="nowhere"):
        list(walk(tmp_path / "nowhere", Selection()))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (0o100644, 0o644),
        (0o040755, 1 << 31 | 0o755),
        (0o120777, 1 << 27 | 0o777),
        (0o010600, 1 << 25 | 0o600),
        (0o060660, 1 << 26 | 0o660),
        (0o020666, 1 << 26 | 1 << 21 | 0o666),
        (0o107777, 1 << 23 | 1 << 22 | 1 << 20 | 0o777),
    ],
)
def test_go_modes(mode: int, expected: int) -> None:
    """st_mode becomes Go's os.FileMode; only regular files have content."""
    assert go_mode(mode) == expected
    assert has_content(expected) == (mode & 0o170000 == 0o100000)


@given(st.lists(st.sampled_from(["a", "b", "a/b", "a/*", "!a", "!a/b", "**/b", "!**/b", "b/a"]), max_size=4))
def test_skipping_folders_changes_nothing(patterns: list[str]) -> None:
    """What a walk sends is what the patterns leave, path by path, with the folders above it."""
    import tempfile

    from prefect_slipway.infra.buildkit.files.ignore import PatternList

    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder), "a/a", "a/b/a", "a/b/b", "b/a/b", "b/b", "c/a")
        matcher = PatternList(patterns)
        kept = {str(p.relative_to(root)) for p in root.rglob("*") if not matcher.picks(str(p.relative_to(root)))}
        above = {"/".join(path.split("/")[:n]) for path in kept for n in range(1, path.count("/") + 1)}
        assert set(paths(root, Selection(exclude=tuple(patterns)))) == kept | above


def test_gits_modes_do_not_depend_on_a_umask(tmp_path: Path) -> None:
    """Of a checkout's modes git knows whether its owner may execute a file; nothing else of them is sent."""
    make(tmp_path, "folder/file", "run", "open", "set")
    (tmp_path / "link").symlink_to("run")
    for name, mode in {"folder": 0o700, "folder/file": 0o600, "run": 0o700, "open": 0o666, "set": 0o6750}.items():
        (tmp_path / name).chmod(mode)
    modes = {os.fsdecode(stat.path): stat.mode for stat in walk(tmp_path, Selection(git_modes=True))}
    assert {name: mode & 0o777 for name, mode in modes.items()} == {
        "folder": 0o755, "folder/file": 0o644, "link": 0o777, "open": 0o644, "run": 0o755, "set": 0o755,
    }  # fmt: skip
    assert modes["set"] == 0o755
    as_they_are = {os.fsdecode(stat.path): stat.mode & 0o777 for stat in walk(tmp_path, Selection())}
    assert (as_they_are["folder"], as_they_are["run"], as_they_are["open"]) == (0o700, 0o700, 0o666)


def test_what_git_does_not_know_is_left_out(tmp_path: Path) -> None:
    """A clone has no folders without files, no pipes and no sockets, and its files are not linked to each other."""
    make(tmp_path, "folder/file", "open", "shut/file")
    (tmp_path / "linked").hardlink_to(tmp_path / "open")
    (tmp_path / "empty" / "emptier").mkdir(parents=True)
    os.mkfifo(tmp_path / "folder" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    sent = {stat.path.decode(): stat.linkname for stat in walk(tmp_path, Selection(git_modes=True, no_empty=True))}
    assert sent == dict.fromkeys(["folder", "folder/file", "linked", "open", "shut", "shut/file"], b"")
    assert "empty/emptier" in paths(tmp_path, Selection(git_modes=True))
    assert {"empty/emptier", "folder/pipe", "socket"} <= set(paths(tmp_path, Selection()))
