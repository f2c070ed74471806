"""Two ways through a Docker engine: to its own BuildKit, and to a buildkitd in one of its containers.

The engine's API (docs.docker.com/reference/api/engine): `POST /grpc`, after whose 101 the connection is HTTP/2 without
TLS; `POST /containers/NAME/exec` and `POST /exec/ID/start`, after whose 101 it is the process's input and output.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from prefect_slipway.infra.buildkit.http2.byte_stream import ByteStream, SocketStream
from prefect_slipway.infra.common.docker_config import docker_endpoint
from prefect_slipway.infra.common.reasons import once
from prefect_slipway.infra.domain.errors import BuilderProtocolError, BuilderUnreachable, InvalidOption
from prefect_slipway.infra.domain.outside import one_line

_LONGEST_ANSWER = 1 << 16
# What moby/buildkit's own client runs (client/connhelper/dockercontainer).
_DIAL = {"Cmd": ["buildctl", "dial-stdio"], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
_OUT = 1
# The server's first frame (RFC 9113, section 3.4): its type behind three bytes of length.
_SETTINGS = 4

Connect = Callable[[], Awaitable[SocketStream]]


def engine_socket(env: Mapping[str, str], subject: str) -> Path:
    """Of the engine that the `docker` command talks to. Raises InvalidOption if that has no socket on this machine."""
    scheme, _, path = docker_endpoint(env).address.partition("://")
    if scheme != "unix" or not path.startswith("/"):
        raise InvalidOption(
            f"{subject}: docker's engine is {scheme}://…, and not a socket on this machine",
            action="set DOCKER_HOST to unix://PATH, or name the builder's address: tcp://HOST:PORT",
        )
    return Path(path)


async def to_buildkit(connect: Connect, subject: str) -> ByteStream:
    """The engine's own BuildKit. `subject`: what errors are about. Raises BuilderProtocolError, OSError."""
    stream = await connect()
    try:
        status, _ = await _post(stream, "/grpc", subject, upgrade="h2c")
        if status != 101:
            raise BuilderProtocolError(
                f"{subject}: the Docker engine does not offer BuildKit (POST /grpc gave HTTP {status})"
            )
    except BaseException:
        await stream.close()
        raise
    return stream


async def to_container(name: str, connect: Connect, subject: str) -> ByteStream:
    """The buildkitd in a container, by `buildctl dial-stdio` there, which ends with the connection.

    Raises BuilderUnreachable, BuilderProtocolError, OSError.
    """
    stream = await connect()
    try:
        status, body = await _post(stream, f"/containers/{name}/exec", subject, _DIAL)
    finally:
        await stream.close()
    if status != 201:
        failure = BuilderUnreachable(
            f"{subject}: {_text(body, 'message') or f'the Docker engine gave HTTP {status}'}",
            action="list the running containers with `docker ps`",
        )
        raise once(failure) if status == 404 else failure
    process = _text(body, "Id")
    if not process.isalnum():
        raise BuilderProtocolError(f"{subject}: the answer is not a Docker engine's")
    stream = await connect()
    try:
        status, body = await _post(stream, f"/exec/{process}/start", subject, {"Detach": False}, upgrade="tcp")
        if status != 101:
            raise BuilderUnreachable(f"{subject}: {_text(body, 'message') or f'the Docker engine gave HTTP {status}'}")
        output = _Output(stream)
        first = await output.read()
        # The engine writes to the same stream why it cannot start the process.
        if first[3:4] != bytes((_SETTINGS,)):
            raise BuilderUnreachable(
                f"{subject}: no buildkitd answers in this container",
                details=one_line((first + output.errors).decode(errors="replace")),
                action="name the container of a buildkitd; buildx's are called buildx_buildkit_NAME0",
            )
        output.unread(first)
    except BaseException:
        await stream.close()
        raise
    return output


async def _post(
    stream: SocketStream, path: str, subject: str, body: Any = None, *, upgrade: str = ""
) -> tuple[int, bytes]:
    """The answer's status and body; after a 101 the stream is the other protocol's. Raises BuilderProtocolError,
    OSError."""
    content = json.dumps(body).encode() if body is not None else b""
    # To HTTP/1.0 the answer is not chunked, and ends with the connection.
    head = [f"POST {path} HTTP/1.{1 if upgrade else 0}", "Host: docker", "Content-Type: application/json"]
    head += ["Connection: Upgrade", f"Upgrade: {upgrade}"] if upgrade else []
    await stream.write("\r\n".join([*head, f"Content-Length: {len(content)}", "", ""]).encode() + content)
    data, end = b"", -1
    while end < 0:
        more = await stream.read()
        data += more
        end = data.find(b"\r\n\r\n")
        if end < 0 and (not more or len(data) > _LONGEST_ANSWER):
            raise BuilderProtocolError(f"{subject}: the answer to POST {path} is not a Docker engine's")
    status, rest = data[:end].split(b"\r\n", 1)[0].decode("latin-1").split(" "), data[end + 4 :]
    if len(status) < 2 or not status[0].startswith("HTTP/1") or not status[1][:3].isdecimal():
        raise BuilderProtocolError(f"{subject}: the answer to POST {path} is not a Docker engine's")
    code = int(status[1][:3])
    if code == 101:
        stream.unread(rest)
    elif not upgrade:
        while len(rest) < _LONGEST_ANSWER and (more := await stream.read()):
            rest += more
    return code, rest


def _text(body: bytes, key: str) -> str:
    """A value of the answer's JSON object, "" without one."""
    try:
        return one_line(str(json.loads(body)[key]))
    except (ValueError, KeyError, TypeError):
        return ""


class _Output:
    """A process's output from the frames of the engine's stream (docs.docker.com/reference/api/engine, "Attach to a
    container": one byte for the kind, three zeros, four for the size); its input goes as it is. `errors`: the end of
    what it wrote to standard error."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._raw = b""
        self._kind = 0
        self._left = 0
        self.errors = b""

    def unread(self, data: bytes) -> None:
        """The next `read` gives `data`, which the last one gave, again."""
        self._raw, self._left = data + self._raw, self._left + len(data)

    async def read(self) -> bytes:
        while True:
            if not self._left:
                while len(self._raw) < 8:
                    if not (more := await self._stream.read()):
                        return b""
                    self._raw += more
                self._kind, self._left = self._raw[0], int.from_bytes(self._raw[4:8], "big")
                self._raw = self._raw[8:]
            elif not self._raw:
                if not (more := await self._stream.read()):
                    return b""
                self._raw = more
            piece, self._raw = self._raw[: self._left], self._raw[self._left :]
            self._left -= len(piece)
            if piece and self._kind == _OUT:
                return piece
            self.errors = (self.errors + piece)[-_LONGEST_ANSWER:]

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()
