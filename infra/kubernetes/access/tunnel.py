"""A connection to a pod's port through the API server, by either of its two protocols.

SPDY (`portforward.k8s.io`) is what every hop passes on without looking into it. WebSocket (`v4.channel.k8s.io`) costs
the node about twice the CPU time a byte, since its masks are undone byte by byte; it is for what lies in between and
knows no other upgrade. In both a data stream is accompanied by one for errors.
kubelet: k8s.io/cri-streaming, pkg/streaming/portforward/httpstream.go and websocket.go.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import aiohttp

from prefect_slipway.infra.domain.errors import ClusterProtocolError, ClusterUnavailable
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.errors import Asked
from prefect_slipway.infra.kubernetes.access.spdy import (
    DATA,
    FIN,
    GOAWAY,
    PING,
    RST_STREAM,
    FrameReader,
    HeaderWriter,
    control,
    data_frames,
)

_ERROR_STREAM, _DATA_STREAM = 1, 3  # a SPDY client's streams are odd
_ERROR_CHANNEL, _DATA_CHANNEL = 1, 0
_BUFFER = 1 << 19


class Tunnel(Protocol):
    """A duplex stream of bytes. `read` and `write` raise OSError or aiohttp.ClientError when it breaks off."""

    async def read(self) -> bytes:
        """The next bytes, b"" at the end: of the pod's, or because its port could not be reached."""
        ...

    async def write(self, data: bytes) -> None:
        """Take `data`; waits while the other side is slow."""
        ...

    async def close(self) -> None: ...


async def open_tunnel(api: KubernetesApi, pod: str, port: int) -> Tunnel:
    """Connect to a pod's port. Raises ClusterErrors."""
    asked = Asked("create", f"pod/{pod}/portforward", "pods/portforward", api.namespace)
    path = f"/api/v1/namespaces/{api.namespace}/pods/{pod}/portforward"
    try:
        response = await api.upgrade(asked, path, "SPDY/3.1", {"X-Stream-Protocol-Version": "portforward.k8s.io"})
    except (ClusterProtocolError, ClusterUnavailable):  # a proxy that does not let it through
        return WebSocketTunnel(await api.open_socket(asked, path, {"ports": str(port)}, "v4.channel.k8s.io"), port)
    return SpdyTunnel(response, port)


class WebSocketTunnel:
    """Binary messages whose first byte is a channel; the first one of each channel names the port."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, port: int) -> None:
        self._socket = socket
        self._named = port.to_bytes(2, "little")
        self._opened: set[int] = set()

    async def read(self) -> bytes:
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], bytes(memoryview(message.data)[1:])
            if channel not in self._opened:
                self._opened.add(channel)
                data = data.removeprefix(self._named)
            if channel == _ERROR_CHANNEL and data:
                break  # the kubelet could not reach the port, or lost it
            if data:
                return data
        return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(bytes([_DATA_CHANNEL]) + data)

    async def close(self) -> None:
        await self._socket.close()


class SpdyTunnel(asyncio.Protocol):
    """One pair of streams on a connection of its own. SPDY's flow control is not in use: TCP's is enough for one."""

    def __init__(self, response: aiohttp.ClientResponse, port: int) -> None:
        connection = response.connection
        if connection is None or connection.transport is None or connection.protocol is None:
            raise ConnectionResetError
        self._response = response
        self._http = connection.protocol
        self._transport = connection.transport
        self._frames = FrameReader()
        self._received = asyncio.StreamReader(_BUFFER)
        self._received.set_transport(self._transport)
        self._ended = False
        self._writable = asyncio.Event()
        self._writable.set()
        early = _Early()
        self._http.set_parser(early, None)
        self._transport.set_protocol(self)
        self._transport.set_write_buffer_limits(high=_BUFFER)
        self.data_received(bytes(early.data))
        names = {"port": str(port), "requestid": "0"}
        headers = HeaderWriter()
        self._transport.write(
            headers.syn_stream(_ERROR_STREAM, {"streamtype": "error", **names}, fin=True)
            + headers.syn_stream(_DATA_STREAM, {"streamtype": "data", **names})
        )

    async def read(self) -> bytes:
        return await self._received.read(_BUFFER)

    async def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(data_frames(_DATA_STREAM, data))
        await self._writable.wait()

    async def close(self) -> None:
        # What waits to be sent would be waited for, and the peer may never read again.
        self._transport.abort()
        self._response.close()

    # asyncio's side -------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        for kind, stream, flags, body in self._frames.feed(data):
            if kind == PING:
                self._transport.write(control(PING, body))
            elif kind in {RST_STREAM, GOAWAY}:
                self._end()
            elif kind == DATA and stream == _ERROR_STREAM and body:
                self._end()  # the kubelet could not reach the port, or lost it
            elif kind == DATA and stream == _DATA_STREAM and not self._ended:
                self._received.feed_data(body)
                if flags & FIN:
                    self._end()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._writable.set()
        if error is not None:
            self._received.set_exception(error)
        self._end()
        self._http.connection_lost(error)

    def _end(self) -> None:
        self._ended = True
        self._received.feed_eof()


class _Early:
    """Takes from aiohttp what arrived behind the answer's head."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass
