"""What a daemon sends back never gets out of its folder, with the daemon played by the test."""

from __future__ import annotations

import asyncio
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.build.filesend import FileSend
from prefect_slipway.infra.buildkit.build.outputs import LocalOutput
from prefect_slipway.infra.buildkit.files.walk import go_mode, unix_mode
from prefect_slipway.infra.buildkit.http2.grpc import ClientCall, Code, GrpcClient, GrpcError, GrpcServer
from prefect_slipway.infra.buildkit.wire.fsutil_pb2 import Packet, Stat
from prefect_slipway.infra.domain.errors import OutputError
from tests.unit.buildkit.pipe import pipe
from tests.waiting import soon

METHOD = "/moby.filesync.v1.FileSend/DiffCopy"
FOLDER, LINK, FILE = go_mode(stat.S_IFDIR | 0o755), go_mode(stat.S_IFLNK | 0o777), 0o644


class Daemon:
    """The sending side."""

    def __init__(self, call: ClientCall) -> None:
        self._call = call
        self._count = 0
        self.contents: dict[int, bytes] = {}

    async def stat(self, path: str, mode: int = FILE, content: bytes = b"", linkname: str = "") -> None:
        entry = Stat(path=path.encode(), mode=mode, size=len(content), linkname=linkname.encode(), modTime=10**18)
        await self.packet(type=Packet.PACKET_STAT, stat=entry)
        self.contents[self._count] = content
        self._count += 1

    async def packet(self, **fields: object) -> None:
        await self._call.send(Packet(**fields).SerializeToString())  # type: ignore[arg-type]

    async def finish(self) -> None:
        """Answer all requests and part well. Raises GrpcError if the receiver gives up."""
        await self.packet(type=Packet.PACKET_STAT)
        while (packet := await self.receive()).type != Packet.PACKET_FIN:
            if packet.type == Packet.PACKET_ERR:
                continue
            if content := self.contents[packet.ID]:
                await self.packet(type=Packet.PACKET_DATA, ID=packet.ID, data=content)
            await self.packet(type=Packet.PACKET_DATA, ID=packet.ID)
        await self.packet(type=Packet.PACKET_FIN)
        assert await soon(self._call.receive()) is None

    async def receive(self) -> Packet:
        data = await soon(self._call.receive())
        assert data is not None
        return Packet.FromString(data)


@asynccontextmanager
async def receiving(out: Path) -> AsyncIterator[tuple[Daemon, FileSend]]:
    near, far = pipe()
    target = FileSend((LocalOutput(out),))
    serving = asyncio.create_task(GrpcServer(target.handlers()).serve(far))
    async with GrpcClient(near) as client, client.call(METHOD) as call:
        yield Daemon(call), target
    await soon(serving)


async def test_a_tree(tmp_path: Path) -> None:
    """Folders, files, links and their modes and times are as announced, also below a folder nobody may write to."""
    out = tmp_path / "out"
    async with receiving(out) as (daemon, _):
        await daemon.stat("d", go_mode(stat.S_IFDIR | 0o1555))
        await daemon.stat("d/file", go_mode(0o4755), b"x" * 3_000_000)
        await daemon.stat("d/second", go_mode(0o4755), linkname="d/file")
        await daemon.stat("empty", 0o000)
        await daemon.stat("link", LINK, linkname="/etc/passwd")
        await daemon.stat("pipe", go_mode(stat.S_IFIFO | 0o640))
        await daemon.finish()
    assert (out / "d" / "file").read_bytes() == b"x" * 3_000_000
    assert (out / "d" / "second").samefile(out / "d" / "file")
    modes = {path.name: oct(path.lstat().st_mode & 0o7777) for path in out.rglob("*") if not path.is_symlink()}
    assert modes == {"d": "0o1555", "file": "0o4755", "second": "0o4755", "empty": "0o0", "pipe": "0o640"}
    assert str((out / "link").readlink()) == "/etc/passwd"
    assert {path.lstat().st_mtime_ns for path in out.rglob("*")} == {10**18}


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ".", "..", "", "a//x", "a/./x", "nul\0x"])
@pytest.mark.parametrize("mode", [FILE, FOLDER, LINK])
async def test_a_path_that_leads_out(tmp_path: Path, path: str, mode: int) -> None:
    """A name that could leave the folder ends the transfer; nothing is written outside."""
    out = tmp_path / "below" / "out"
    async with receiving(out) as (daemon, target):
        await daemon.stat("a", FOLDER)
        await daemon.stat(path, mode, b"x", linkname="/" if mode == LINK else "")
        with pytest.raises(GrpcError):
            await daemon.finish()
    assert isinstance(target.failure, OutputError)
    assert {path.name for path in tmp_path.rglob("*")} <= {"below", "out", "a"}


async def test_a_way_through_a_link(tmp_path: Path) -> None:
    """A link that came with the result, or was there before, is not followed: neither for files nor for folders."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    for number, (path, mode, linkname) in enumerate(
        [("l/x", FILE, ""), ("l/x", FOLDER, ""), ("l/x", LINK, "y"), ("h", FILE, "l/secret")]
    ):
        out = tmp_path / f"out{number}"
        async with receiving(out) as (daemon, target):
            await daemon.stat("l", LINK, linkname=str(outside))
            await daemon.stat(path, mode, b"x", linkname=linkname)
            with pytest.raises(GrpcError):
                await daemon.finish()
        assert isinstance(target.failure, OutputError)
        assert [path.name for path in outside.iterdir()] == ["secret"]
        assert not (out / "h").exists()


async def test_a_hard_link_to_what_is_no_file(tmp_path: Path) -> None:
    """A hard link to a symlink, which would give it a second name, is refused."""
    async with receiving(tmp_path / "out") as (daemon, target):
        await daemon.stat("l", LINK, linkname="/etc/passwd")
        await daemon.stat("h", FILE, linkname="l")
        with pytest.raises(GrpcError):
            await daemon.finish()
    assert "not a file" in str(target.failure)


async def test_a_daemon_that_gives_up(tmp_path: Path) -> None:
    """An ERR packet or a call that ends early leaves no half file."""
    for failing in ("error", "end"):
        out = tmp_path / failing
        async with receiving(out) as (daemon, _):
            await daemon.stat("file", FILE, b"never")
            assert (await daemon.receive()).type == Packet.PACKET_REQ
            await daemon.packet(type=Packet.PACKET_DATA, ID=0, data=b"nev")
            if failing == "error":
                await daemon.packet(type=Packet.PACKET_ERR, data=b"x")
                with pytest.raises(GrpcError):
                    await daemon.receive()
        assert not list(out.iterdir())


async def test_data_that_was_not_asked_for(tmp_path: Path) -> None:
    """Data of a folder, or of a file twice, is refused."""
    async with receiving(tmp_path / "out") as (daemon, _):
        await daemon.stat("d", FOLDER)
        await daemon.packet(type=Packet.PACKET_DATA, ID=0, data=b"x")
        with pytest.raises(GrpcError) as error:
            await daemon.receive()
    assert error.value.code is Code.INVALID_ARGUMENT


PARTS = st.sampled_from(["a", "b", "l", "..", ".", "", "x"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
ENTRIES = st.lists(
    st.tuples(PATHS, st.sampled_from([FILE, FOLDER, LINK]), st.sampled_from(["", "..", "/", "a", "l", "../outside/f"])),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(ENTRIES)
def test_whatever_is_sent_stays_inside(entries: list[tuple[str, int, str]]) -> None:
    """No sequence of entries, valid or not, changes anything outside of the folder."""
    with tempfile.TemporaryDirectory() as home:
        outside, out = Path(home, "outside"), Path(home, "out")
        outside.mkdir()
        (outside / "f").write_text("f")
        out.mkdir()
        (out / "l").symlink_to(outside)

        async def play() -> None:
            async with receiving(out) as (daemon, _):
                try:
                    for path, mode, linkname in entries:
                        await daemon.stat(path, mode, b"data", linkname=linkname)
                    await daemon.finish()
                except (GrpcError, AssertionError):
                    return

        asyncio.run(play())
        assert {path.name for path in Path(home).iterdir()} == {"out", "outside"}
        assert [path.name for path in outside.iterdir()] == ["f"]
        assert (outside / "f").stat().st_nlink == 1
        assert (outside / "f").read_text() == "f"


@given(st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK, stat.S_IFCHR]), st.data())
def test_modes_go_both_ways(kind: int, data: st.DataObject) -> None:
    """A Unix mode survives the way through Go's."""
    mode = kind | data.draw(st.integers(0, 0o7777))
    assert unix_mode(go_mode(mode)) == mode
