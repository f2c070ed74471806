"""Layouts that the daemon reads and writes, with the daemon played by the test."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.buildkit.files.oci_layout import Layout
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcClient, GrpcError, GrpcServer
from prefect_slipway.infra.buildkit.session.content import Content
from prefect_slipway.infra.buildkit.wire.content_pb2 import (
    COMMIT,
    STAT,
    WRITE,
    InfoRequest,
    InfoResponse,
    ReadContentRequest,
    ReadContentResponse,
    WriteContentRequest,
    WriteContentResponse,
)
from tests.unit.buildkit.pipe import pipe
from tests.waiting import soon

SERVICE = "/containerd.services.content.v1.Content"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Daemon:
    def __init__(self, client: GrpcClient, store: str = "local:x") -> None:
        self._client = client
        self._metadata = [("buildkit-attachable-store-id", store)]

    async def write(self, *requests: WriteContentRequest) -> list[WriteContentResponse]:
        async with self._client.call(f"{SERVICE}/Write", self._metadata) as call:
            answers = []
            for request in requests:
                await call.send(request.SerializeToString())
                data = await soon(call.receive())
                assert data is not None
                answers.append(WriteContentResponse.FromString(data))
            return answers

    async def put(self, data: bytes) -> None:
        await self.write(
            WriteContentRequest(action=STAT, ref="r", total=len(data), expected=digest(data)),
            WriteContentRequest(action=WRITE, data=data),
            WriteContentRequest(action=COMMIT, total=len(data), offset=len(data), expected=digest(data)),
        )

    async def read(self, name: str, offset: int = 0, size: int = 0) -> bytes:
        async with self._client.call(f"{SERVICE}/Read", self._metadata) as call:
            await call.send(ReadContentRequest(digest=name, offset=offset, size=size).SerializeToString())
            call.end()
            found = b""
            while (data := await soon(call.receive())) is not None:
                answer = ReadContentResponse.FromString(data)
                assert answer.offset == len(found)
                found += answer.data
            return found

    async def size(self, name: str) -> int:
        async with self._client.call(f"{SERVICE}/Info", self._metadata) as call:
            await call.send(InfoRequest(digest=name).SerializeToString())
            call.end()
            data = await soon(call.receive())
            assert data is not None
            return InfoResponse.FromString(data).info.size


@asynccontextmanager
async def serving(layout: Layout, store: str = "local:x") -> AsyncIterator[Daemon]:
    near, far = pipe()
    task = asyncio.create_task(GrpcServer(Content({"local:x": layout}).handlers()).serve(far))
    async with GrpcClient(near) as client:
        yield Daemon(client, store)
    await soon(task)


async def test_write_and_read(tmp_path: Path) -> None:
    """What is written is read, whole and in part, and is not written twice."""
    data = bytes(range(256)) * 10_000
    async with serving(Layout(tmp_path / "new" / "layout")) as daemon:
        await daemon.put(data)
        assert await daemon.size(digest(data)) == len(data)
        assert await daemon.read(digest(data)) == data
        assert await daemon.read(digest(data), 100, 7) == data[100:107]
        assert await daemon.read(digest(data), len(data)) == b""
        with pytest.raises(GrpcError) as error:
            await daemon.read(digest(data), len(data) + 1)
        assert error.value.code is Code.OUT_OF_RANGE
        with pytest.raises(GrpcError) as error:
            await daemon.put(data)
        assert error.value.code is Code.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("requests", "code"),
    [
        ([WriteContentRequest(action=WRITE, data=b"abc", offset=1)], Code.OUT_OF_RANGE),
        ([WriteContentRequest(action=COMMIT, data=b"abc", total=4)], Code.FAILED_PRECONDITION),
        ([WriteContentRequest(action=COMMIT, data=b"abc", expected=digest(b"x"))], Code.FAILED_PRECONDITION),
    ],
)
async def test_what_is_not_as_announced(tmp_path: Path, requests: list[WriteContentRequest], code: Code) -> None:
    """A wrong offset, size or digest is refused, and no half blob stays."""
    async with serving(Layout(tmp_path)) as daemon:
        with pytest.raises(GrpcError) as error:
            await daemon.write(*requests)
        assert error.value.code is code
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_writing_anew(tmp_path: Path) -> None:
    """A write at offset 0 begins from the start; one that is not committed leaves nothing."""
    async with serving(Layout(tmp_path)) as daemon:
        await daemon.write(
            WriteContentRequest(action=WRITE, data=b"wrong"),
            WriteContentRequest(action=WRITE, data=b"right"),
            WriteContentRequest(action=COMMIT, offset=5, expected=digest(b"right")),
        )
        await daemon.write(WriteContentRequest(action=WRITE, data=b"never"))
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"right"]


@pytest.mark.parametrize("name", ["", "x", "sha256:../../../../etc/passwd", "sha256:" + "a" * 64, "md5:" + "a" * 32])
async def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    """A digest that is none, or of nothing, is not found; nor is a store that was not offered."""
    async with serving(Layout(tmp_path)) as daemon:
        for ask in (daemon.size, daemon.read):
            with pytest.raises(GrpcError) as error:
                await ask(name)
            assert error.value.code is Code.NOT_FOUND
    async with serving(Layout(tmp_path), "local:/etc") as daemon:
        with pytest.raises(GrpcError, match="unknown store"):
            await daemon.put(b"x")


NAMES = st.sampled_from(["example.org/a:1", "example.org/a:2", "example.org/b", "localhost:5000/a:1"])


@given(st.lists(st.tuples(st.sampled_from(["1", "2"]), st.one_of(st.none(), NAMES)), max_size=8))
def test_names_in_the_index(puts: list[tuple[str, str | None]]) -> None:
    """The last blob that was given a name has it, every other name stands, and no name is there twice."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        expected: dict[str, str] = {}
        for value, name in puts:
            descriptor = {"digest": value, "size": 1}
            layout.put(descriptor, names=[name] if name else [], tags=[] if name else ["latest"])
            expected[name or "latest"] = value
        assert {name: layout.digest(name) for name in expected} == expected
        if puts:
            index = json.loads((Path(folder) / "index.json").read_text())
            assert len(index["manifests"]) == len(expected)
        assert layout.digest("nothing") is None


async def test_many_at_the_same_time(tmp_path: Path) -> None:
    """Names that are written at the same time are all there."""
    layout = Layout(tmp_path)
    await asyncio.gather(
        *(asyncio.to_thread(layout.put, {"digest": str(number)}, [], [f"t{number}"]) for number in range(40))
    )
    assert [layout.digest(f"t{number}") for number in range(40)] == [str(number) for number in range(40)]
    assert {path.name for path in tmp_path.iterdir()} == {"index.json", "oci-layout"}


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", '{"manifests": [{}]}', '{"manifests": [{"annotations": null}]}'),
        *(
            '{"manifests": null}',
            '{"manifests": {"a": 1}}',
            '{"manifests": ["a"]}',
            '{"manifests": [{"annotations": [1]}]}',
        ),
    ],
)
def test_an_index_that_is_none(tmp_path: Path, content: str) -> None:
    """A broken index names nothing, and is replaced by the next name."""
    (tmp_path / "index.json").write_text(content)
    layout = Layout(tmp_path)
    assert layout.digest("latest") is None
    layout.put({"digest": "d"}, tags=["latest"])
    assert layout.digest("latest") == "d"
