"""A gate that is a command of this machine: what it is given, and how its output and its report are read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import stat
from asyncio import StreamReader
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prefect_slipway.flows.gates.findings import LIMIT
from prefect_slipway.infra.buildkit.build.masking import Masking
from prefect_slipway.infra.common.child_process import child_process, environment_of_others
from prefect_slipway.infra.common.docker_auths import entry_of, key_of
from prefect_slipway.infra.common.private_files import private_folder, write_private
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import GateMissing
from prefect_slipway.infra.domain.outside import one_line, plain

Say = Callable[[str], None]

_VARIABLE = re.compile(r"\$(?:\{(SLIPWAY_GATE_\w+)\}|(SLIPWAY_GATE_\w+))")
_FLUSH_S = 0.25
_PIECE = 1 << 16
_LONGEST_LINE = 4000
_MOST_BYTES = 1 << 20
_TAIL = 20
# What a command's own children hold open after its end is not waited for.
_AFTER_END_S = 1.0


@dataclass
class Output:
    """Lines as they come, harmless and without the registry's password: told to `say` in chunks. `tail`: the last ones.
    More than a MiB is not told."""

    say: Say
    mask: Masking
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    _bytes: int = 0
    _partial: bytes = b""
    _new: list[str] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        whole, _, self._partial = (self._partial + data).rpartition(b"\n")
        if len(self._partial) > _LONGEST_LINE:
            whole, self._partial = whole + b"\n" + self._partial if whole else self._partial, b""
        if whole:
            self._lines(whole)

    def end(self) -> None:
        if self._partial:
            self._lines(self._partial)
            self._partial = b""
        self.flush()

    def flush(self) -> None:
        if self._new:
            lines, self._new = self._new, []
            self.say("\n".join(lines))

    def _lines(self, raw: bytes) -> None:
        before = self._bytes
        self._bytes += len(raw) + 1
        if before > _MOST_BYTES:
            raw = b"\n".join(raw.rsplit(b"\n", _TAIL)[-_TAIL:])
        # All at once: a gate may write millions of lines.
        text = plain(self.mask.text(raw.decode(errors="replace")))
        lines = [line[:_LONGEST_LINE].rstrip() for line in text.split("\n")]
        self.tail.extend(one_line(line) for line in lines[-_TAIL:])
        if before <= _MOST_BYTES:
            self._new += lines
            if self._bytes > _MOST_BYTES:
                self._new.append("… (the rest of its output is not recorded)")


async def run_command(
    argv: Sequence[str],
    variables: Mapping[str, str],
    folder: Path,
    registry: tuple[str, Credential | None],
    say: Say,
    env: Mapping[str, str] = os.environ,
) -> tuple[int, tuple[str, ...], bytes | None]:
    """Run a command; returns its exit code, the last lines of its output, and its report, None without one.

    `variables`: for its environment, and to be replaced in `argv`. `folder`: a private one, whose removal is the
    caller's: it holds the registry's credential. Cancelling ends it with all it has started. Raises GateMissing.
    """
    host, credential = registry
    report = folder / "report"
    config = private_folder(folder / "docker")
    auths = {key_of(host): entry_of(credential)} if credential is not None else {}
    write_private(config / "config.json", json.dumps({"auths": auths}))
    given = {**variables, "SLIPWAY_GATE_REPORT": str(report), "DOCKER_CONFIG": str(config)}
    argv = [_VARIABLE.sub(lambda match: given.get(match[1] or match[2], match[0]), word) for word in argv]
    secrets = [credential.password.encode(), entry_of(credential)["auth"].encode()] if credential is not None else []
    output = Output(say, Masking(secrets))
    options = {"stdin": asyncio.subprocess.DEVNULL, "stdout": asyncio.subprocess.PIPE}
    try:
        async with child_process(
            *argv, **options, stderr=asyncio.subprocess.STDOUT, env=environment_of_others(env) | given
        ) as child:
            code = await _followed(child, output)
    except OSError as error:
        raise GateMissing(f"the program {argv[0]!r} cannot be started ({error.strerror})") from None
    finally:
        output.end()
    return code, tuple(output.tail), _read(report)


async def _followed(child: Process, output: Output) -> int:
    assert child.stdout is not None
    reading = asyncio.ensure_future(_read_all(child.stdout, output))
    flushing = asyncio.ensure_future(_flush(output))
    try:
        code = await child.wait()
        await asyncio.wait([reading], timeout=_AFTER_END_S)
        return code
    finally:
        for task in (reading, flushing):
            task.cancel()
        await asyncio.gather(reading, flushing, return_exceptions=True)
        if child.returncode is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # What it has left running in its group.
                os.killpg(child.pid, signal.SIGKILL)


async def _read_all(stream: StreamReader, output: Output) -> None:
    while data := await stream.read(_PIECE):
        output.take(data)


async def _flush(output: Output) -> None:
    while True:
        await asyncio.sleep(_FLUSH_S)
        output.flush()


def _read(path: Path) -> bytes | None:
    """A plain file alone: a link could name any file of this machine."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(LIMIT + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
