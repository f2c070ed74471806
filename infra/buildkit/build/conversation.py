"""The calls between client and daemon during one build: the build itself, the session's tunnel and its status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from prefect_slipway.infra.buildkit.build.attachables import unanswered
from prefect_slipway.infra.buildkit.build.events import events_of
from prefect_slipway.infra.buildkit.http2.grpc import Code, GrpcClient, GrpcError
from prefect_slipway.infra.buildkit.wire.control_pb2 import StatusRequest, StatusResponse
from prefect_slipway.infra.common.tasks import cause_of

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.address import BuilderAddress
    from prefect_slipway.infra.buildkit.build.masking import Masking
    from prefect_slipway.infra.buildkit.build.record import BuildRecord
    from prefect_slipway.infra.buildkit.build.request import BuildRequest
    from prefect_slipway.infra.buildkit.session.tunnel import Attachable, Session

T = TypeVar("T")

CONTROL = "/moby.buildkit.v1.Control"

_log = logging.getLogger(__name__)

# How long after Solve has ended Status may still be silent before it is given up (buildctl's client/solve.go: 5 s).
_STATUS_SILENCE_S = 5.0
# How long it may take to say anything at all of a build that is over.
_STATUS_LATE_S = 1.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """One build. `offered`: what its session serves; `masking`: of the secrets among that, if
    there are any.

    `cancel_timeout_s`: seconds that a cancelled one waits for the daemon to be done with it.
    """

    client: GrpcClient
    address: BuilderAddress
    request: BuildRequest
    record: BuildRecord
    offered: Sequence[Attachable]
    cancel_timeout_s: float
    masking: Masking | None

    async def run(self, ref: str, session: Session, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` next to the tunnel and Status, and return its result. When this returns or raises, all events
        were reported. Raises the cause of a failure, the client's own first."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tunnel = tasks.create_task(session.run(self.client))
                status = tasks.create_task(self._follow(ref))
                try:
                    answer = await work()
                    await self._all_told(tasks, status, ref)
                except GrpcError:
                    await self._all_told(tasks, status, ref)
                    raise
                except asyncio.CancelledError:
                    # A step of the daemon may be waiting for us.
                    tunnel.cancel()
                    # Leaving the call has cancelled Solve; Status ends when the daemon is done with the build. One that
                    # was given up before its first step may not be known there, which Status tells only after 6 s.
                    longest = self.cancel_timeout_s
                    await asyncio.wait([status], timeout=longest if self.record.events else min(1.0, longest))
                    if not status.done() and self.record.events:
                        _log.warning(
                            "builder %s did not end the build within %g s after it was cancelled",
                            self.address,
                            longest,
                        )
                    status.cancel()
                    raise
                finally:
                    status.cancel()
                    tunnel.cancel()
        except BaseExceptionGroup as group:
            error = cause_of(group)
            if (task := asyncio.current_task()) is not None and task.cancelling():
                # What failed, failed because of that.
                raise asyncio.CancelledError from error
            if session.failure is not None:
                raise session.failure from error
            from prefect_slipway.infra.buildkit.build.errors import build_error

            raise build_error(error, self.address, self.request, self.record, unanswered(self.offered)) from error
        return answer

    async def _follow(self, ref: str) -> None:
        try:
            async for response in self.client.stream(f"{CONTROL}/Status", StatusRequest(Ref=ref), StatusResponse):
                for event in events_of(response):
                    for shown in self.masking(event) if self.masking is not None else (event,):
                        self.record.add(shown)
        except GrpcError as error:
            # "no such job": see `_all_told`.
            if error.code is not Code.NOT_FOUND:
                raise
        finally:
            for event in self.masking.rest() if self.masking is not None else ():
                self.record.add(event)

    async def _all_told(self, tasks: asyncio.TaskGroup, status: asyncio.Task[None], ref: str) -> None:
        """The work is done: wait for Status's end as long as it still brings something."""
        record = self.record
        if not record.events:
            await asyncio.wait([status], timeout=_STATUS_LATE_S)
        if not record.events:
            # The build ended before Status was requested: no job any more, but the history reports everything at once.
            status.cancel()
            status = tasks.create_task(self._follow(ref))
        while not status.done():
            seen = record.events
            await asyncio.wait([status], timeout=_STATUS_SILENCE_S if seen else _STATUS_LATE_S)
            if record.events == seen:
                break
        status.cancel()
