"""A session in a pod's container, as an API server and a kubelet serve it: here, by a process of this machine."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping

from aiohttp import WSMsgType, web

_STDIN, _STDOUT, _ERROR = 0, 1, 3


async def execute(socket: web.WebSocketResponse, command: list[str], env: Mapping[str, str]) -> None:
    """Serve a client of `v4.channel.k8s.io` until the command ends; then tell its exit code as the kubelet does."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], **env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    typing = asyncio.create_task(_typed(socket, process))
    assert process.stdout is not None
    while data := await process.stdout.read(1 << 12):
        await socket.send_bytes(bytes([_STDOUT]) + data)
    code = await process.wait()
    typing.cancel()
    await asyncio.gather(typing, return_exceptions=True)
    status = {"status": "Success"}
    if code:
        causes = [{"reason": "ExitCode", "message": str(code)}]
        status = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}  # type: ignore[dict-item]
    await socket.send_bytes(bytes([_ERROR]) + json.dumps(status).encode())
    await socket.close()


async def _typed(socket: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    async for message in socket:
        if message.type is WSMsgType.BINARY and message.data[0] == _STDIN:
            if message.data[1:] == b"\x04":
                process.stdin.close()
            else:
                process.stdin.write(message.data[1:])
                await process.stdin.drain()
