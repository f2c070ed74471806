"""Receive the output of exporters: files into a directory, archives into a file or a stream.

Service: FileSend in session/filesync/filesync.proto (moby/buildkit). Which exporter is sending stands in the call's
metadata since v0.13; before, there was one.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from prefect_slipway.infra.buildkit.build.outputs import (
    DockerOutput,
    EngineLoad,
    ImagePush,
    ImageStore,
    LocalOutput,
    OciOutput,
    Output,
    TarOutput,
)
from prefect_slipway.infra.buildkit.files.receive import receive_files
from prefect_slipway.infra.buildkit.files.sink import sink
from prefect_slipway.infra.buildkit.files.tree import Tree
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcError, Handler, ServerCall, decode
from prefect_slipway.infra.buildkit.wire.control_pb2 import BytesMessage
from prefect_slipway.infra.domain.errors import InvalidOption, OutputError, SlipwayError

_WRITE_AT_ONCE = 1 << 20


class FileSend:
    """Serves `outputs` by their position. `failure`: why one could not be written here.

    Raises InvalidOption for a destination that cannot be one, before the build begins.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            _check(output)
        _check_together(outputs)
        self._outputs = outputs
        self._expected = {
            number
            for number, output in enumerate(outputs)
            if not isinstance(output, ImagePush | ImageStore) and getattr(output, "tar", True)
        }
        # An exporter sends each platform by a call of its own, so what is to go is known when all are over.
        self._came: dict[Path, set[bytes]] = {
            output.dest: set() for output in outputs if isinstance(output, LocalOutput) and output.delete
        }
        self.failure: SlipwayError | None = None

    def handlers(self) -> dict[str, Handler]:
        return {"/moby.filesync.v1.FileSend/DiffCopy": self._receive}

    @property
    def complete(self) -> bool:
        """Whether the daemon began to send every output; an interrupted one is a failure."""
        return not self._expected

    def remove_the_rest(self) -> None:
        """Delete old files of outputs with `delete` after a build. Raises OutputError."""
        for folder, came in self._came.items():
            try:
                with contextlib.closing(Tree(folder)) as tree:
                    tree.keep(came)
            except OSError as error:
                raise OutputError(f"{folder} cannot be cleared: {error.strerror}") from error

    async def _receive(self, call: ServerCall) -> None:
        number = "".join(call.metadata.get("buildkit-attachable-exporter-id", ["0"])[:1])
        output = self._outputs[int(number)] if number.isdecimal() and int(number) < len(self._outputs) else None
        if output is not None:
            self._expected.discard(int(number))
        try:
            match output:
                case LocalOutput(dest=folder):
                    await receive_files(call, folder, self._came.get(folder))
                case TarOutput(dest=dest) | OciOutput(dest=dest, tar=True) | DockerOutput(dest=dest, tar=True):
                    with sink(dest) as write:
                        async for data in _pieces(call):
                            await write(data)
                case EngineLoad(engine=engine):
                    await engine.load(_pieces(call))
                case _:
                    raise GrpcError(Code.NOT_FOUND, f"exporter {number} has no destination")
        except OSError as error:
            place = getattr(output, "dest", "")
            shown = place if isinstance(place, Path) else "the output"
            self.failure = self.failure or OutputError(f"{shown} cannot be written: {error.strerror}")
            raise GrpcError(Code.INTERNAL, "the client cannot write the output") from error
        except SlipwayError as error:
            self.failure = self.failure or error
            raise GrpcError(Code.INTERNAL, error.cause) from error


async def _pieces(call: ServerCall) -> AsyncIterator[bytes]:
    """An archive in large pieces: exporters send 32 KiB and less at a time."""
    pending, size = [], 0
    while (message := await call.receive()) is not None:
        pending.append(decode(BytesMessage, message).data)
        size += len(pending[-1])
        if size >= _WRITE_AT_ONCE:
            data, pending, size = b"".join(pending), [], 0
            yield data
    yield b"".join(pending)


def _check_together(outputs: Sequence[Output]) -> None:
    images = [output for output in outputs if not isinstance(output, LocalOutput | TarOutput)]
    folders = [o for o in images if isinstance(o, OciOutput | DockerOutput) and not o.tar]
    if folders and len(images) > 1:
        # The daemon's answer describes one image, and knows one layout.
        raise InvalidOption("a layout (tar=false) cannot be written next to another image", action="build twice")


def _check(output: Output) -> None:
    match output:
        case LocalOutput(dest=dest, delete=delete, anywhere=anywhere):
            if dest.exists() and not dest.is_dir():
                raise InvalidOption(f"the output {dest} is not a directory")
            if delete and not anywhere and Path.cwd().resolve() not in dest.resolve().parents:
                raise InvalidOption(
                    f"the output {dest} is outside the working directory, and mode=delete would clear it",
                    action="allow it with --allow buildx.local.delete, or use a directory inside the working directory",
                )
        case OciOutput(tar=False) | DockerOutput(tar=False):
            if not isinstance(output.dest, Path):
                raise InvalidOption("a layout (tar=false) needs a destination directory")
        case TarOutput(dest=Path() as dest) | OciOutput(dest=Path() as dest) | DockerOutput(dest=Path() as dest):
            if dest.is_dir():
                raise InvalidOption(f"the output {dest} is a directory", action="name a file")
