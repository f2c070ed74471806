"""What a build reports while it runs. Protobuf stops here: plain frozen values.

Times are seconds since the epoch on the daemon's clock. Source: api/services/control/control.proto (moby/buildkit),
messages Vertex, VertexStatus, VertexLog, VertexWarning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from prefect_slipway.infra.buildkit.wire.control_pb2 import StatusResponse


class Step(NamedTuple):
    """The state of one step (BuildKit: vertex); sent again whenever it changes.

    `inputs`: digests of the steps it needs. `started` and `completed`: None until then. `error`: what the daemon says
    about a failure, "" otherwise.
    """

    digest: str
    name: str
    inputs: tuple[str, ...] = ()
    started: float | None = None
    completed: float | None = None
    cached: bool = False
    error: str = ""


class LogChunk(NamedTuple):
    """Output of a step. `stream`: 1 standard output, 2 standard error. `data` is not cut at lines."""

    step: str
    stream: int
    data: bytes
    time: float


class Progress(NamedTuple):
    """Part of a step that is counted: a transfer, an export. `total` 0: unknown. The unit is bytes for transfers."""

    step: str
    id: str
    name: str
    current: int
    total: int
    started: float | None = None
    completed: float | None = None


class Warned(NamedTuple):
    """A warning, e.g. of the Dockerfile's linter. `file` and `line`: where, if the daemon says."""

    step: str
    short: str
    detail: tuple[str, ...] = ()
    url: str = ""
    file: str = ""
    line: int | None = None


BuildEvent = Step | LogChunk | Progress | Warned


def events_of(response: StatusResponse) -> Iterator[BuildEvent]:
    """The events of one message of Control/Status."""
    for vertex in response.vertexes:
        yield Step(
            digest=vertex.digest,
            name=vertex.name,
            inputs=tuple(vertex.inputs),
            started=seconds(vertex.started) if vertex.HasField("started") else None,
            completed=seconds(vertex.completed) if vertex.HasField("completed") else None,
            cached=vertex.cached,
            error=vertex.error,
        )
    for status in response.statuses:
        yield Progress(
            step=status.vertex,
            id=status.ID,
            name=status.name,
            current=status.current,
            total=status.total,
            started=seconds(status.started) if status.HasField("started") else None,
            completed=seconds(status.completed) if status.HasField("completed") else None,
        )
    for log in response.logs:
        yield LogChunk(step=log.vertex, stream=log.stream, data=log.msg, time=seconds(log.timestamp))
    for warning in response.warnings:
        yield Warned(
            step=warning.vertex,
            short=warning.short.decode(errors="replace"),
            detail=tuple(line.decode(errors="replace") for line in warning.detail),
            url=warning.url,
            file=warning.info.filename,
            line=warning.ranges[0].start.line if warning.ranges else None,
        )


def seconds(timestamp: Timestamp) -> float:
    """Since the epoch."""
    return timestamp.seconds + timestamp.nanos / 1e9
