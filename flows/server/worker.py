"""A process worker that stops its runs before it stops itself.

Prefect's own process worker leaves its runs `Running` for ever when it gets SIGTERM: it is torn down together with
those who would report their end. This one stops taking runs, tells those that run to end (SIGTERM, on which a release
stops cleanly, or finishes if it is already public), reports how each ended, and only then goes.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import psutil
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from prefect_slipway.flows.server.errors import prefect_errors
from prefect_slipway.infra.domain.errors import PrefectError
from prefect_slipway.infra.local.config import StackConfig

_LOOK_EVERY_S = 0.1

logger = logging.getLogger("prefect.flows.worker")


class _Configuration(ProcessJobConfiguration):
    """Starts a run by one interpreter: the code is installed here, so no other one has to prepare a workspace.

    All runs work in one empty folder, as none of them writes there: one for each would be left by a worker that dies.
    """

    def prepare_for_flow_run(self, *args: Any, **kwargs: Any) -> None:
        self.command = self.command or command_to_string([sys.executable, "-X", "utf8", "-m", "prefect.engine"])
        if self.working_dir is None:
            self.working_dir = StackConfig.from_env(os.environ).home / "runs"
            self.working_dir.mkdir(parents=True, exist_ok=True)
        super().prepare_for_flow_run(*args, **kwargs)


# abc.ABC keeps it out of Prefect's registry of worker types, in which it would replace the process worker.
class ReleaseWorker(ProcessWorker, abc.ABC):
    """Takes the runs of a process pool until `stop`.

    `poll_s`: seconds between two looks for runs. `grace_s`: seconds that runs have for their end once they were told.
    """

    job_configuration = _Configuration

    def __init__(self, pool: str, *, name: str, limit: int, poll_s: float, grace_s: float) -> None:
        super().__init__(work_pool_name=pool, name=name, limit=limit, create_pool_if_not_found=False)
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take no more runs and stop the current ones; the second time, kill them."""
        if self._stopping.is_set():
            self._grace_s = 0.0
        self._stopping.set()

    async def serve(self) -> None:
        """Work until `stop`. A server that does not answer is waited for. Raises what it refuses."""
        async with self:
            loops = [
                asyncio.create_task(_again(self.get_and_submit_flow_runs, self._poll_s)),
                asyncio.create_task(_again(self.sync_with_backend, self.heartbeat_interval_seconds)),
            ]
            stopped = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
                for loop in loops:
                    if loop.done():
                        loop.result()
            finally:
                for task in (stopped, *loops):
                    task.cancel()
                await asyncio.gather(stopped, *loops, return_exceptions=True)
                # Prefect's own teardown waits for the runs and reports them; meanwhile they are told to end.
                ender = asyncio.create_task(self._end_runs())
        ender.cancel()
        await asyncio.gather(ender, return_exceptions=True)

    async def _end_runs(self) -> None:
        """Tell each run that starts or runs to end, once; after the grace period kill it with all its descendants."""
        told: dict[psutil.Process, float] = {}
        now = asyncio.get_running_loop().time
        while True:
            for child in psutil.Process().children():
                if child not in told:
                    told[child] = now()
                    with suppress(psutil.NoSuchProcess):
                        child.send_signal(signal.SIGTERM)
                elif now() > told[child] + self._grace_s:
                    _kill(child)
            await asyncio.sleep(_LOOK_EVERY_S)


async def _again(work: Callable[[], Awaitable[Any]], every_s: float) -> None:
    """Do it every `every_s` seconds. The worker keeps running while the server is down, because its runs
    continue without it."""
    down = False
    while True:
        try:
            with prefect_errors():
                await work()
            if down:
                logger.info("the Prefect server answers again")
            down = False
        except PrefectError as error:
            if not error.retryable:
                raise
            if not down:
                logger.warning("%s; trying again", error.cause)
            down = True
        await asyncio.sleep(every_s)


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        for descendant in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                descendant.kill()
