"""Archives from a real HTTP server and from files: checksum first, safe unpacking, named faults, nothing left."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import io
import os
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import (
    ChecksumMismatch,
    InvalidOption,
    SourceDenied,
    SourceDiskFull,
    SourceError,
    SourceMissing,
    SourceTlsError,
    SourceUnreachable,
)
from prefect_slipway.infra.source.archive import fetch_archive
from prefect_slipway.infra.source.limits import UnpackLimits
from tests.certificates import make_certificates
from tests.ports import free_port
from tests.serving import serving

PASSWORD = "hidden-treasure-0815"


class Robot:
    async def credential(self, host: str) -> Credential | None:
        return Credential("robot", PASSWORD)


class FileServer:
    """Answers every path with `content`, or as told. `seen`: the Authorization headers that arrived."""

    def __init__(self) -> None:
        self.content = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.password: str | None = None
        self.break_off = False
        self.hang = threading.Event()
        self.hang.set()
        self.url = ""
        self.seen: list[str | None] = []


@contextmanager
def serve_files(context: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    server = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization")
            server.seen.append(authorization)
            expected = "Basic " + base64.b64encode(f"robot:{server.password}".encode()).decode()
            if server.password is not None and authorization != expected:
                self.send_error(401)
                return
            self.send_response(server.status)
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(server.content)))
            self.end_headers()
            half = len(server.content) // 2
            self.wfile.write(server.content[:half])
            server.hang.wait(30)
            if not server.break_off:
                self.wfile.write(server.content[half:])

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as http:
        if context is not None:
            http.socket = context.wrap_socket(http.socket, server_side=True)
        http.daemon_threads = True
        scheme = "http" if context is None else "https"
        server.url = f"{scheme}://127.0.0.1:{http.server_address[1]}/files/app-1.0.tar.gz"
        with serving(http):
            try:
                yield server
            finally:
                server.hang.set()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve_files() as running:
        yield running


TarMode = Literal["w", "w:gz", "w:xz", "w:bz2"]


def make_tar(entries: Mapping[str, bytes | tarfile.TarInfo], mode: TarMode = "w:gz", top: str = "") -> bytes:
    """A tar file with regular files, or with entries as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in entries.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(top + name)
                info.size, info.mtime, info.mode = len(content), 1_700_000_000, 0o4777 if name == "run" else 0o600
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def checksum(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def left(workdir: Path) -> list[Path]:
    return list(workdir.iterdir()) if workdir.exists() else []


FILES = {"Dockerfile": b"FROM scratch\n", "run": b"#!/bin/sh\n", "sub/data": b"data"}


def make_zip(files: dict[str, bytes], top: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            info = zipfile.ZipInfo(top + name, (2023, 11, 14, 22, 13, 20))
            info.external_attr = (0o100755 if name == "run" else 0o100644) << 16
            zipped.writestr(info, content)
    return buffer.getvalue()


ARCHIVES = {
    "tar": make_tar(FILES, "w"),
    "tar.gz": make_tar(FILES, "w:gz"),
    "tar.xz": make_tar(FILES, "w:xz"),
    "tar.bz2": make_tar(FILES, "w:bz2"),
    "one folder": make_tar(FILES, "w:gz", top="app-1.0/"),
    "zip": make_zip(FILES),
    "zip, one folder": make_zip(FILES, top="app-1.0/"),
}


@pytest.mark.parametrize("form", ARCHIVES)
async def test_every_form_unpacks_to_the_same(form: str, server: FileServer, tmp_path: Path) -> None:
    """Content, plain modes, times; a single folder at the top is left out."""
    server.content = content = ARCHIVES[form]
    async with await fetch_archive(server.url, checksum(content), workdir=tmp_path / "work") as checkout:
        files = {str(path.relative_to(checkout.path)): path for path in checkout.path.rglob("*") if path.is_file()}
        assert {name: path.read_bytes() for name, path in files.items()} == FILES
        modes = {name: path.stat().st_mode & 0o7777 for name, path in files.items()}
        assert modes == {"Dockerfile": 0o644, "run": 0o755, "sub/data": 0o644}
        assert {int(path.stat().st_mtime) for path in files.values()} == {1_700_000_000}
        assert (checkout.path / "sub").stat().st_mode & 0o777 == 0o755
        assert checkout.fingerprint == f"archive:{checksum(content)}:"
        assert checkout.committed_at == 1_700_000_000
        assert checkout.name == "app-1.0"
        assert checkout.source_url == server.url
        assert (checkout.revision, checkout.repository, checkout.is_repository_root) == (None, None, False)
        assert [path.name for path in left(tmp_path / "work")[0].iterdir()] == ["tree"]
    assert left(tmp_path / "work") == []


async def test_a_file_is_taken_as_well(tmp_path: Path) -> None:
    """file:// needs no server; the label is empty, since nobody else can follow it."""
    archive = tmp_path / "app name.zip"
    archive.write_bytes(ARCHIVES["zip"])
    async with await fetch_archive(
        archive.as_uri(), checksum(ARCHIVES["zip"]), subdirectory="sub", workdir=tmp_path / "work"
    ) as checkout:
        assert (checkout.path / "data").read_bytes() == b"data"
        assert (checkout.subdirectory, checkout.name, checkout.source_url) == ("sub", "sub", None)
    with pytest.raises(SourceMissing):
        await fetch_archive((tmp_path / "no.zip").as_uri(), checksum(b""), workdir=tmp_path / "work")
    with pytest.raises(SourceMissing):
        await fetch_archive(tmp_path.as_uri(), checksum(b""), workdir=tmp_path / "work")


async def test_the_checksum_is_compared_before_unpacking(server: FileServer, tmp_path: Path) -> None:
    """Another archive than the one named is refused without being looked into."""
    server.content = b"no archive at all"
    with pytest.raises(ChecksumMismatch, match=checksum(server.content)):
        await fetch_archive(server.url, checksum(b"the right one"), workdir=tmp_path / "work")
    assert left(tmp_path / "work") == []


@pytest.mark.parametrize("text", ["", "abc", "sha256:abc", f"sha1:{'a' * 40}", "a" * 64, f"sha256:{'A' * 64}"])
async def test_a_checksum_is_required(text: str, tmp_path: Path) -> None:
    """Only sha256:HEX will do."""
    with pytest.raises(InvalidOption, match="checksum"):
        await fetch_archive("https://example.com/x.tar.gz", text, workdir=tmp_path)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, SourceDenied),
        (403, SourceDenied),
        (404, SourceMissing),
        (410, SourceMissing),
        (204, SourceMissing),
        (408, SourceUnreachable),
        (429, SourceUnreachable),
        (500, SourceUnreachable),
        (503, SourceUnreachable),
    ],
)
async def test_statuses_have_names(status: int, kind: type[SourceError], server: FileServer, tmp_path: Path) -> None:
    """Each status is its cause, with the server's wish to wait where a retry helps."""
    server.status = status
    server.headers = {"Retry-After": "7"}
    with pytest.raises(kind, match=str(status)) as caught:
        await fetch_archive(server.url, checksum(b""), workdir=tmp_path / "work")
    assert caught.value.retry_after == (7.0 if kind.retryable else None)
    assert left(tmp_path / "work") == []


async def test_network_trouble_has_a_name(server: FileServer, tmp_path: Path) -> None:
    """Nobody there, no such host, broken off: unreachable, which a retry may help."""
    server.content = ARCHIVES["zip"]
    server.break_off = True
    for url in (server.url, f"http://127.0.0.1:{free_port()}/x.zip", "http://no-such-host.invalid/x.zip"):
        with pytest.raises(SourceUnreachable):
            await fetch_archive(url, checksum(ARCHIVES["zip"]), workdir=tmp_path / "work")
    assert left(tmp_path / "work") == []


async def test_a_certificate_is_checked(tmp_path: Path) -> None:
    """An unknown CA is refused by name; named, it is trusted."""
    made = make_certificates(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    with serve_files(context) as server:
        server.content = ARCHIVES["zip"]
        with pytest.raises(SourceTlsError):
            await fetch_archive(server.url, checksum(server.content), workdir=tmp_path / "work")
        async with await fetch_archive(
            server.url, checksum(server.content), ca_file=made.ca, workdir=tmp_path / "work"
        ) as checkout:
            assert (checkout.path / "run").exists()
    with pytest.raises(InvalidOption, match="PEM"):
        await fetch_archive(server.url, checksum(b""), ca_file=tmp_path / "none", workdir=tmp_path / "work")


async def test_credentials_stay_with_their_host(server: FileServer, tmp_path: Path) -> None:
    """They are used where the URL points, and dropped when a redirect leads elsewhere."""
    server.password = PASSWORD
    server.content = ARCHIVES["zip"]
    async with await fetch_archive(
        server.url, checksum(server.content), credentials=Robot(), workdir=tmp_path / "work"
    ) as checkout:
        assert PASSWORD not in repr(checkout)
    with serve_files() as other:
        other.content = server.content
        server.status, server.headers = 302, {"Location": other.url.replace("127.0.0.1", "localhost")}
        async with await fetch_archive(
            server.url, checksum(other.content), credentials=Robot(), workdir=tmp_path / "work"
        ):
            pass
        assert other.seen == [None]
        other.status = 403
        with pytest.raises(SourceDenied, match="HTTP status 403, to which it redirects: http://localhost") as caught:
            await fetch_archive(server.url, checksum(other.content), credentials=Robot(), workdir=tmp_path / "work")
        assert PASSWORD not in str(caught.value)


async def test_secrets_in_urls_are_neither_taken_nor_shown(server: FileServer, tmp_path: Path) -> None:
    """A password in the URL is refused; a signed URL's query is in no message and no label."""
    with pytest.raises(InvalidOption) as caught:
        await fetch_archive("https://user:secret@example.com/x.zip", checksum(b""), workdir=tmp_path / "work")
    assert "secret" not in str(caught.value)
    server.content = ARCHIVES["zip"]
    signed = f"{server.url}?signature=opensesame"
    async with await fetch_archive(signed, checksum(server.content), workdir=tmp_path / "work") as checkout:
        assert "opensesame" not in repr(checkout)
    with pytest.raises(ChecksumMismatch) as mismatch:
        await fetch_archive(signed, checksum(b""), workdir=tmp_path / "work")
    assert "opensesame" not in str(mismatch.value)


@pytest.mark.parametrize("url", ["ftp://example.com/x.zip", "https:///x.zip", "file://host/x.zip", "x.zip", "http://["])
async def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    """https, http and file, with a host where one belongs."""
    with pytest.raises(InvalidOption):
        await fetch_archive(url, checksum(b""), workdir=tmp_path)


HOSTILE = {
    "dots": make_tar({"../out": b"x"}),
    "dots inside": make_tar({"a/../../out": b"x"}),
    "absolute": make_tar({"/tmp/out": b"x"}),
    "absolute link": make_tar({"a": special("a", tarfile.SYMTYPE, "/etc")}),
    "link outside": make_tar({"a": special("d/a", tarfile.SYMTYPE, "../../etc")}),
    "link over a link": make_tar(
        {"d": special("x/y/d", tarfile.SYMTYPE, "../.."), "e": special("e", tarfile.SYMTYPE, "x/y/d/../..")}
    ),
    "behind a link": make_tar(
        {"a": special("a", tarfile.SYMTYPE, "b"), "b": special("b", tarfile.DIRTYPE), "a/f": b"x"}
    ),
    "hard link outside": make_tar({"a": special("a", tarfile.LNKTYPE, "../../../etc/passwd")}),
    "hard link to a link": make_tar(
        {"f": b"x", "l": special("l", tarfile.SYMTYPE, "f"), "a": special("a", tarfile.LNKTYPE, "l")}
    ),
    "device": make_tar({"a": special("a", tarfile.CHRTYPE)}),
    "pipe": make_tar({"a": special("a", tarfile.FIFOTYPE)}),
    "file as directory": make_tar({"a": b"x", "a/b": b"x"}),
    "directory as file": make_tar({"a/b": b"x", "a": b"x"}),
    "zip dots": make_zip({"../out": b"x"}),
    "zip absolute": make_zip({"/tmp/out": b"x"}),
    "no archive": b"hello",
    "empty": b"",
    "cut off": ARCHIVES["tar.gz"][:100],
    "cut off xz": ARCHIVES["tar.xz"][:150],
    "bad bz2": ARCHIVES["tar.bz2"][:20] + b"\0" * 100,
    "bad zip": ARCHIVES["zip"][:30] + b"\xff" * 20 + ARCHIVES["zip"][50:],
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_and_broken_archives_are_refused(kind: str, tmp_path: Path) -> None:
    """Nothing is written outside, and nothing is left inside."""
    archive = tmp_path / "in" / "archive"
    archive.parent.mkdir()
    archive.write_bytes(HOSTILE[kind])
    with pytest.raises(SourceError) as caught:
        await fetch_archive(archive.as_uri(), checksum(HOSTILE[kind]), workdir=tmp_path / "work")
    assert type(caught.value) is SourceError
    assert left(tmp_path / "work") == []
    assert not (tmp_path / "out").exists()


async def test_harmless_links_are_kept(tmp_path: Path) -> None:
    """Links inside, to files that come later as well, and a later member that replaces an earlier one."""
    content = make_tar(
        {
            "a": special("d/a", tarfile.SYMTYPE, "../late"),
            "late": b"1",
            "hard": special("hard", tarfile.LNKTYPE, "late"),
            "d/dangling": special("d/dangling", tarfile.SYMTYPE, "nothing"),
        }
    )
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        link = zipfile.ZipInfo("d/a")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "../late")
        archive.writestr("late", "1")
    for form in (content, zipped.getvalue()):
        (tmp_path / "archive").write_bytes(form)
        async with await fetch_archive(
            (tmp_path / "archive").as_uri(), checksum(form), workdir=tmp_path / "work"
        ) as checkout:
            assert (checkout.path / "d/a").is_symlink()
            assert (checkout.path / "d/a").read_bytes() == b"1"


async def test_an_encrypted_zip_is_said(tmp_path: Path) -> None:
    """A zip that needs a password is refused by name."""
    content = bytearray(make_zip({"a": b"x"}))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + offset] |= 1
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(SourceError, match="encrypted"):
        await fetch_archive((tmp_path / "x.zip").as_uri(), checksum(bytes(content)), workdir=tmp_path / "work")


async def test_bombs_are_refused(server: FileServer, tmp_path: Path) -> None:
    """Too much to download, too much inside, too many entries: ended when the limit is reached."""
    server.content = content = make_tar({"zeros": bytes(4 << 20), "b": b"", "c": b""})
    for limits, words in (
        (UnpackLimits(total_bytes=100), "more than 100 bytes"),
        (UnpackLimits(total_bytes=1 << 20), "unpacks to more than"),
        (UnpackLimits(entries=2), "more than 2 entries"),
    ):
        with pytest.raises(SourceError, match=words):
            await fetch_archive(server.url, checksum(content), limits=limits, workdir=tmp_path / "work")
        assert left(tmp_path / "work") == []


async def test_cancelling_a_download_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    """Cancelled half-way, the connection is closed and the folder removed."""
    server.content = ARCHIVES["zip"]
    server.hang.clear()
    fetching = asyncio.create_task(fetch_archive(server.url, checksum(server.content), workdir=tmp_path / "work"))
    while not server.seen:
        await asyncio.sleep(0.01)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert left(tmp_path / "work") == []


async def test_cancelling_the_unpacking_leaves_nothing(tmp_path: Path) -> None:
    """The thread that unpacks is stopped and waited for before its folder is removed."""
    content = make_tar({f"f{number}": b"x" for number in range(20000)}, "w")
    (tmp_path / "x.tar").write_bytes(content)
    workdir = tmp_path / "work"
    fetching = asyncio.create_task(fetch_archive((tmp_path / "x.tar").as_uri(), checksum(content), workdir=workdir))
    while not list(workdir.glob("*/tree/f*")):
        await asyncio.sleep(0.001)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert left(workdir) == []


async def test_a_full_disk_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space left while unpacking is SourceDiskFull, and the folder goes."""

    def full(descriptor: int, mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fchmod", full)
    (tmp_path / "x.zip").write_bytes(ARCHIVES["zip"])
    with pytest.raises(SourceDiskFull):
        await fetch_archive((tmp_path / "x.zip").as_uri(), checksum(ARCHIVES["zip"]), workdir=tmp_path / "work")
    assert left(tmp_path / "work") == []
