"""Archives and trees that are made to break whoever unpacks them: each has a name, and costs little memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from prefect_slipway.infra.common.removal import remove_tree
from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.source.archive import fetch_archive
from prefect_slipway.infra.source.directory import open_directory
from prefect_slipway.infra.source.git import fetch_git
from prefect_slipway.infra.source.limits import UnpackLimits
from prefect_slipway.infra.source.unpack import unpack
from prefect_slipway.infra.source.workdir import _new_folder
from tests.git_repository import git, make_repository

# Far less than what each bomb asks for. The limit is on the address space beyond what the imports took: the kernel
# refuses what goes beyond it, whatever else the machine does.
MEMORY = 64 << 20

_UNPACK = """
import resource, sys
from pathlib import Path
from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.source.limits import UnpackLimits
from prefect_slipway.infra.source.unpack import unpack
archive, target, memory = sys.argv[1:]
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(memory)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    unpack(Path(archive), Path(target), "bomb", UnpackLimits(), lambda: None)
    print("unpacked")
except SourceError as error:
    print(error.cause)
"""


def unpacked_within(memory: int, archive: Path, target: Path) -> str:
    """What comes of unpacking it in a process that may take no more memory: "unpacked", or the cause."""
    done = subprocess.run(
        [sys.executable, "-c", _UNPACK, archive, target, str(memory)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(format=tarfile.GNU_FORMAT)


def padded(record: bytes) -> bytes:
    return record + b"\0" * (-len(record) % 512)


def pax(key: bytes, length: int) -> bytes:
    """A record of a PAX header: its own length, key and value (POSIX pax, "Extended Header")."""
    rest = b" %s=%s\n" % (key, b"a" * length)
    size = len(rest) + len(str(len(rest) + 8))
    return b"%d%s" % (size, rest)


def one_large_header(kind: bytes) -> Callable[[io.BufferedIOBase], None]:
    def write(file: io.BufferedIOBase) -> None:
        file.write(header(kind, 200 << 20))
        file.write(b"209715200 comment=")
        for _ in range(200):
            file.write(b"a" * (1 << 20))

    return write


def many_headers(kind: bytes) -> Callable[[io.BufferedIOBase], None]:
    def write(file: io.BufferedIOBase) -> None:
        record = pax(b"comment", 600_000)
        for _ in range(400):
            file.write(header(kind, len(record)) + padded(record))
        file.write(tarfile.TarInfo("f").tobuf())

    return write


def headers_for_all(file: io.BufferedIOBase) -> None:
    for number in range(400):
        record = pax(b"SLIPWAY.%06d" % number, 600_000)
        file.write(header(tarfile.XGLTYPE, len(record)) + padded(record) + tarfile.TarInfo(f"f{number}").tobuf())


TARS: dict[str, tuple[Callable[[io.BufferedIOBase], None], str]] = {
    "one PAX header": (one_large_header(tarfile.XHDTYPE), "bomb has headers of more than 1 MiB before one member"),
    "one long name": (one_large_header(tarfile.GNUTYPE_LONGNAME), "bomb has headers of more than 1 MiB"),
    "one long link": (one_large_header(tarfile.GNUTYPE_LONGLINK), "bomb has headers of more than 1 MiB"),
    "a chain of PAX headers": (many_headers(tarfile.XHDTYPE), "bomb has headers of more than 1 MiB"),
    "PAX headers for all": (headers_for_all, "bomb has headers for all of its members that are too many, or too long"),
}


@pytest.mark.parametrize("kind", TARS)
def test_headers_take_no_more_memory_than_they_are_worth(kind: str, tmp_path: Path) -> None:
    """A few hundred kilobytes of archive that ask for hundreds of megabytes of memory are refused by name."""
    write, cause = TARS[kind]
    with gzip.open(tmp_path / "bomb", "wb", compresslevel=1) as file:
        write(file)
    assert (tmp_path / "bomb").stat().st_size < 8 << 20
    assert unpacked_within(MEMORY, tmp_path / "bomb", tmp_path / "out").startswith(cause)


def test_a_decompressor_takes_no_more_memory_than_it_is_worth(tmp_path: Path) -> None:
    """An xz file of a hundred bytes may ask for a dictionary of a gigabyte and a half."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    content = bytearray(lzma.compress(b"\0" * 10240, format=lzma.FORMAT_XZ, filters=filters))
    # The block header: size, flags, filter id, size of properties, dictionary size, padding, CRC32
    # (xz-file-format.txt, 3.1).
    at = 12
    assert content[at + 2 : at + 4] == b"\x21\x01"
    content[at + 4] = 39
    end = at + (content[at] + 1) * 4
    content[end - 4 : end] = zlib.crc32(content[at : end - 4]).to_bytes(4, "little")
    (tmp_path / "bomb").write_bytes(content)
    assert unpacked_within(MEMORY, tmp_path / "bomb", tmp_path / "out") == "bomb is not an archive that can be read"


def test_a_zip_s_list_of_members_is_bounded(tmp_path: Path) -> None:
    """`zipfile` makes an object of each entry before the first is looked at."""
    info = zipfile.ZipInfo("f")
    with zipfile.ZipFile(tmp_path / "one", "w") as zipped:
        zipped.writestr(info, b"")
    content = (tmp_path / "one").read_bytes()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entries, size = 400_000, end - start
    directory = content[start:end] * entries
    tail = bytearray(content[end:])
    tail[8:12] = b"\xff\xff\xff\xff"
    tail[12:16] = (len(directory)).to_bytes(4, "little")
    (tmp_path / "bomb").write_bytes(content[:start] + directory + tail)
    assert size * entries > 16 << 20
    said = unpacked_within(MEMORY, tmp_path / "bomb", tmp_path / "out")
    assert said == "bomb has a list of members of more than 16 MiB"


@pytest.mark.parametrize("form", ["w:gz", "w:xz", "w:bz2"])
def test_a_large_archive_takes_no_more_memory_than_a_small_one(
    form: Literal["w:gz", "w:xz", "w:bz2"], tmp_path: Path
) -> None:
    """Content is passed on in pieces, and the entries that were written are not kept."""
    with tarfile.open(tmp_path / "large", form) as tar:
        info = tarfile.TarInfo("zeros")
        info.size = 100 << 20
        with Path("/dev/zero").open("rb") as zeros:
            tar.addfile(info, zeros)
    assert unpacked_within(MEMORY, tmp_path / "large", tmp_path / "out") == "unpacked"
    assert (tmp_path / "out" / "zeros").stat().st_size == 100 << 20


def deep_tar(levels: int, name: str = "a") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(f"{name}/" * levels + "f")
        tar.addfile(info)
    return buffer.getvalue()


def tar_of(*infos: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in infos:
            tar.addfile(info)
    return buffer.getvalue()


def info_of(name: str, **pax_headers: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.pax_headers = pax_headers
    return info


UNUSABLE = {
    "3,000 levels": (deep_tar(3000), "contains folders nested more than 256 deep: 'a/a/"),
    "257 levels": (deep_tar(257), "contains folders nested more than 256 deep"),
    "half a million levels": (
        tar_of(info_of("x", path="a/" * 400_000 + "f")),
        "contains folders nested more than 256 deep",
    ),
    "a long name": (tar_of(info_of("n" * 256)), "contains a name of more than 255 bytes"),
    "a long name in bytes": (tar_of(info_of("ü" * 128)), "contains a name of more than 255 bytes"),
    "a long path": (deep_tar(20, "p" * 200), "contains a path of more than 3072 bytes"),
    "negative size": (tar_of(info_of("f", size="-512")), "is not an archive that can be read"),
    "sparse map without numbers": (
        tar_of(info_of("f", **{"GNU.sparse.map": "a,b", "GNU.sparse.size": "1"})),
        "is not an archive that can be read",
    ),
    "sparse size without a number": (
        tar_of(info_of("f", **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "x"})),
        "is not an archive that can be read",
    ),
    "nothing": (tar_of(), "is empty"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_what_no_tool_can_handle_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    """Paths beyond what the kernel takes, malformed numbers, nothing at all; and nothing is left of it."""
    content, words = UNUSABLE[kind]
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(SourceError, match=words) as caught:
        await fetch_archive((tmp_path / "x.tar").as_uri(), _sum(content), workdir=tmp_path / "work")
    assert len(caught.value.cause) < 300
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("mtime", "seconds"),
    [("nan", 0), ("inf", 2**33), ("-inf", 0), ("-1", 0), ("1e400", 2**33), ("1700000000.5", 1_700_000_000)],
)
def test_odd_times_are_brought_within_what_there_is(mtime: str, seconds: int, tmp_path: Path) -> None:
    """Not a number, without end, before the epoch."""
    (tmp_path / "x.tar").write_bytes(tar_of(info_of("f", mtime=mtime)))
    assert unpack(tmp_path / "x.tar", tmp_path / "out", "x", UnpackLimits(), lambda: None) == seconds
    assert int((tmp_path / "out" / "f").stat().st_mtime) == seconds


@pytest.mark.parametrize("time", [(1980, 0, 0, 0, 0, 0), (1980, 13, 1, 0, 0, 0)])
def test_a_zip_without_a_time_is_unpacked(time: tuple[int, int, int, int, int, int], tmp_path: Path) -> None:
    """Go's archive/zip and other reproducible tools write the DOS date 0, which is none."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        info = zipfile.ZipInfo("f")
        info.date_time = time
        zipped.writestr(info, b"x")
    assert unpack(tmp_path / "x.zip", tmp_path / "out", "x", UnpackLimits(), lambda: None) == 315_532_800


def test_links_that_lead_to_links_cost_nothing(tmp_path: Path) -> None:
    """A chain of links longer than Python's stack, and a circle: the kernel follows neither, and nor does this."""
    infos = []
    for number in range(3000):
        link = tarfile.TarInfo(f"l{number}")
        link.type, link.linkname = tarfile.SYMTYPE, f"l{(number + 1) % 3000}"
        infos.append(link)
    (tmp_path / "x.tar").write_bytes(tar_of(*infos))
    unpack(tmp_path / "x.tar", tmp_path / "out", "x", UnpackLimits(), lambda: None)
    assert len(list((tmp_path / "out").iterdir())) == 3000


def test_names_that_are_kept_are_bounded(tmp_path: Path) -> None:
    """Folders get their times at the end, links are looked at again then."""
    (tmp_path / "x.tar").write_bytes(tar_of(*(_folder(f"d{n}") for n in range(100))))
    with pytest.raises(SourceError, match="names of more than 50 bytes"):
        unpack(tmp_path / "x.tar", tmp_path / "out", "x", UnpackLimits(names_bytes=50), lambda: None)


def test_folders_count_as_entries(tmp_path: Path) -> None:
    """A member's path makes as many folders as it has parts."""
    (tmp_path / "x.tar").write_bytes(deep_tar(100))
    with pytest.raises(SourceError, match="more than 50 entries"):
        unpack(tmp_path / "x.tar", tmp_path / "out", "x", UnpackLimits(entries=50), lambda: None)


def _folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


def _sum(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


# What is left of a killed run ------------------------------------------------------------------------------------


def dig(folder: Path, levels: int) -> None:
    """A tree whose paths are longer than the kernel takes at once."""
    folder.mkdir(parents=True)
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("a", dir_fd=descriptor)
        deeper = os.open("a", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.fchmod(descriptor, 0)
    os.close(descriptor)


def left_by_a_dead_process(workdir: Path) -> Path:
    """The name that a process on this machine would have given, which is no more."""
    alive = _new_folder(workdir)
    dead = workdir / alive.name.replace(f"-{os.getpid()}-", "-999999999-")
    alive.rename(dead)
    return dead


async def test_a_leftover_of_any_depth_is_removed(tmp_path: Path) -> None:
    """A tree deeper than Python's stack, with paths longer than PATH_MAX, that a killed run has left."""
    workdir = tmp_path / "work"
    dead = left_by_a_dead_process(workdir)
    dig(dead / "tree", 3000)
    content = tar_of(tarfile.TarInfo("f"))
    (tmp_path / "x.tar").write_bytes(content)
    async with await fetch_archive((tmp_path / "x.tar").as_uri(), _sum(content), workdir=workdir):
        assert not dead.exists()
    assert list(workdir.iterdir()) == []


async def test_what_cannot_be_removed_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    """A leftover that the file system will not let go of is said, and the fetch goes on."""
    workdir = tmp_path / "work"
    dead = left_by_a_dead_process(workdir)
    (dead / "mount").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", dead / "mount"], check=False, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    request.addfinalizer(lambda: subprocess.run(["umount", dead / "mount"], check=True))
    content = tar_of(tarfile.TarInfo("f"))
    (tmp_path / "x.tar").write_bytes(content)
    async with await fetch_archive((tmp_path / "x.tar").as_uri(), _sum(content), workdir=workdir):
        pass
    assert f"{dead} could not be removed" in caplog.text
    assert list(workdir.iterdir()) == [dead]


# Git and directories ---------------------------------------------------------------------------------------------


def imported(repository: Path, paths: list[str]) -> None:
    """A commit with these files on `main`, of whatever names."""
    script = "commit refs/heads/main\ncommitter A <a@example.com> 0 +0000\ndata 1\nx\n"
    script += "".join(f"M 100644 inline {path}\ndata 1\ny\n" for path in paths)
    git(repository, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repository, input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a/" * 1500 + "f", "contains folders nested more than 256 deep"),
        ("a/" * 2000 + "f", "contains folders nested more than 256 deep"),
        ("n" * 300, "contains a name of more than 255 bytes"),
    ],
)
async def test_a_repository_that_no_tool_can_handle_is_refused_by_name(path: str, words: str, tmp_path: Path) -> None:
    """Before any of it is checked out; the next fetch is as the first one."""
    (tmp_path / "app.git").mkdir()
    imported(tmp_path / "app.git", [path, "g"])
    for _ in range(2):
        with pytest.raises(SourceError, match=words):
            await fetch_git(f"file://{tmp_path}/app.git", ref=None, workdir=tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


async def test_a_tree_that_unfolds_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten objects describe a tree of ten billion files."""
    repository = make_repository(tmp_path / "app", {"f": "x"})
    blob = git(repository, "rev-parse", "HEAD:f").strip()
    tree = _tree(repository, [f"100644 blob {blob}\tf{number}" for number in range(10)])
    for _ in range(9):
        tree = _tree(repository, [f"040000 tree {tree}\td{number}" for number in range(10)])
    commit = git(repository, "commit-tree", "-m", "bomb", tree).strip()
    git(repository, "update-ref", "refs/heads/bomb", commit)
    with pytest.raises(SourceError, match="contains more than 1000000 files"):
        await fetch_git(f"file://{repository}/.git", ref="bomb", workdir=tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def _tree(repository: Path, lines: list[str]) -> str:
    made = subprocess.run(
        ["git", "mktree"], cwd=repository, input="\n".join(lines), text=True, check=True, capture_output=True
    )
    return made.stdout.strip()


async def test_a_directory_that_no_tool_can_handle_is_refused_by_name(tmp_path: Path) -> None:
    """Deeper than Python's stack: a cause, not a traceback."""
    dig(tmp_path / "app", 1500)
    try:
        with pytest.raises(SourceError, match="contains folders nested more than 256 deep"):
            await open_directory(tmp_path / "app", allow_dirty=False)
    finally:
        remove_tree(tmp_path / "app")  # pytest's own removal is recursive


def test_a_zip_with_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    """zipfile cuts a name at its first NUL."""
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as zipped:
        zipped.writestr("name", b"")
    (tmp_path / "it.zip").write_bytes((tmp_path / "it.zip").read_bytes().replace(b"name", b"\0ame"))
    with pytest.raises(SourceError, match="has a member without a name"):
        unpack(tmp_path / "it.zip", tmp_path / "out", "it.zip", UnpackLimits(), lambda: None)
