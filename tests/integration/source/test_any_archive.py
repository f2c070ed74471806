"""Whatever bytes an archive has: it is unpacked within its folder, or refused by name. Nothing else happens."""

from __future__ import annotations

import base64
import io
import os
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from prefect_slipway.infra.common.removal import remove_tree
from prefect_slipway.infra.domain.errors import SourceError
from prefect_slipway.infra.source.limits import UnpackLimits
from prefect_slipway.infra.source.unpack import unpack

LIMITS = UnpackLimits(total_bytes=1 << 20, entries=100, names_bytes=1 << 12)

NAMES = st.one_of(
    st.sampled_from(
        ["f", "d", "d/f", "d/e/f", "l", "../f", "/f", "./f", "d//f", "d/.", "", ".", "..", "a" * 300, "ü/ö"]
    ),
    st.text(max_size=12),
)
PAX_VALUES = st.one_of(
    st.sampled_from(
        ["nan", "inf", "-1", "0", "1e999", "9" * 30, "x", "", "0,1,2", "1", "a/../../b", "utf-8", "BINARY"]
    ),
    st.text(max_size=8),
)
PAX_KEYS = st.sampled_from(
    ["path", "linkpath", "size", "mtime", "uid", "gid", "uname", "charset", "hdrcharset", "GNU.sparse.map",
     "GNU.sparse.size", "GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize",
     "GNU.sparse.numblocks", "GNU.sparse.offset", "GNU.sparse.numbytes", "comment"]
)  # fmt: skip
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE,
     tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
     tarfile.XHDTYPE, tarfile.XGLTYPE, b"?"]
)  # fmt: skip


class Archive(bytes):
    """Bytes that are shown in few characters."""

    def __repr__(self) -> str:
        return f"zlib.decompress(base64.b64decode({base64.b64encode(zlib.compress(self))!r}))"


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Members of all kinds with headers that do not fit each other."""
    buffer = io.BytesIO()
    forms: tuple[Literal[1, 2], ...] = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    form = draw(st.sampled_from(forms))
    with tarfile.open(fileobj=buffer, mode="w"):
        for _ in range(draw(st.integers(0, 6))):
            info = tarfile.TarInfo(draw(NAMES))
            info.type = draw(KINDS)
            info.linkname = draw(NAMES)
            info.mode = draw(st.integers(0, 0o7777))
            content = draw(st.binary(max_size=600))
            info.size = len(content) if draw(st.booleans()) else draw(st.integers(0, 1 << 40))
            info.pax_headers = draw(st.dictionaries(PAX_KEYS, PAX_VALUES, max_size=4))
            buffer.write(info.tobuf(form, "utf-8", "surrogateescape"))
            buffer.write(content + bytes(-len(content) % 512))
    return Archive(buffer.getvalue())


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    """Files, folders and links, compressed in all ways, with odd times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for _ in range(draw(st.integers(0, 6))):
            info = zipfile.ZipInfo(draw(NAMES) or "x")
            info.date_time = draw(
                st.tuples(st.integers(1980, 2107), *(st.integers(0, n) for n in (15, 31, 31, 63, 58)))
            )
            info.external_attr = draw(st.integers(0, 0xFFFF)) << 16
            info.compress_type = draw(
                st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
            )
            zipped.NameToInfo.clear()  # the same name twice is welcome here
            zipped.writestr(info, draw(st.binary(max_size=600)))
    return Archive(buffer.getvalue())


@st.composite
def damaged(draw: st.DrawFn, archives: st.SearchStrategy[bytes], *, summed: bool) -> bytes:
    """Some bytes are others, some are missing or there twice. `summed`: a tar's headers are summed up again, so that
    what is wrong with them is seen."""
    content = bytearray(draw(archives))
    for _ in range(draw(st.integers(0, 8))):
        if content:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(content)))
        content = content[:cut] + content[cut : draw(st.integers(cut, len(content)))]
    if summed and draw(st.booleans()):
        for at in range(0, len(content) - 511, 512):
            content[at + 148 : at + 156] = b"        "
            content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
    return Archive(content)


def everything(folder: Path) -> list[str]:
    return sorted(f"{parent}/{name}" for parent, folders, files in os.walk(folder) for name in folders + files)


def check(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "beside").write_text("untouched")
        (root / "archive").write_bytes(content)
        before = everything(root)
        out = root / "out"
        try:
            newest = unpack(root / "archive", out, "it", LIMITS, lambda: None)
        except SourceError as error:
            assert type(error) is SourceError
            assert error.cause.startswith("it ")
            assert error.action
        else:
            assert 0 <= newest <= 2**33
            for path in everything(out):
                assert_harmless(Path(path), out)
        assert [path for path in everything(root) if path != str(out) and not path.startswith(f"{out}/")] == before
        assert (root / "beside").read_text() == "untouched"
        remove_tree(out)
        assert not out.exists()


def assert_harmless(path: Path, root: Path) -> None:
    """A plain file, a folder, or a link that stays inside."""
    assert os.path.realpath(path).startswith(str(root)) or (path.is_symlink() and not path.exists())
    assert path.is_symlink() or path.is_file() or path.is_dir()
    if not path.is_symlink():
        assert path.stat().st_mode & 0o7777 in {0o644, 0o755}


SETTINGS = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@SETTINGS
@given(st.one_of(tars(), damaged(tars(), summed=True)))
def test_any_tar_is_unpacked_or_refused(content: bytes) -> None:
    """Members and headers that no tool would write."""
    check(content)


# An entry that begins before the file does.
BEFORE_THE_FILE = zlib.decompress(
    base64.b64decode(
        "eJwL8GZmEWHABhiBOC2AsLQ9AxMDH1xYGFmak4WVIZaBoYGBofn/7///DwDFArwZmUSYcRsJAw1gThrxyuVhyu2ZcbsIodwOopyVDcRl"
        "BsJeIF0AVgMAe5cRYw=="
    )
)


@SETTINGS
@example(BEFORE_THE_FILE)
@given(st.one_of(zips(), damaged(zips(), summed=False)))
def test_any_zip_is_unpacked_or_refused(content: bytes) -> None:
    """The same for zip."""
    check(content)


@SETTINGS
@given(
    st.sampled_from(
        [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x5d\0\0", b"\x28\xb5\x2f\xfd"]
    ),
    st.binary(max_size=2000),
)
def test_any_bytes_are_refused(start: bytes, rest: bytes) -> None:
    """What only begins like an archive."""
    check(start + rest)
