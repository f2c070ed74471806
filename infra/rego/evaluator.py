"""Ask Rego policies about a document, in a process of their own: a policy may run for ever, or fill the memory."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect_slipway.infra.common.child_process import child_process
from prefect_slipway.infra.domain.errors import PartMissing, PolicyInvalid, PolicyTimedOut
from prefect_slipway.infra.rego import program

_PACKAGE = re.compile(r"^[^\S\n]*package\s+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(?:#.*)?$", re.MULTILINE)
_MEMORY = 2 << 30
_LOOK_S = 0.1
_MOST_BYTES = 16 << 20
_MOST_LINES, _LONGEST_LINE = 20, 300
# What the engine appends for programs.
_FOR_PROGRAMS = re.compile(r"^\(rego-errorseq.*", re.MULTILINE | re.DOTALL)


def check_engine() -> None:
    """Raises PartMissing where Rego cannot be evaluated."""
    if importlib.util.find_spec("regopy") is None:
        raise PartMissing(
            "policies in Rego need regopy, which is not installed", action="pip install 'prefect-slipway[policy]'"
        )


def package_of(name: str, text: str) -> str:
    """The package of a module, e.g. `main`. Raises PolicyInvalid."""
    if (found := _PACKAGE.search(text)) is None:
        raise PolicyInvalid(f"the policy {name} names no package", action="begin it with `package main`")
    return found[1]


async def evaluate(modules: Mapping[str, str], document: Any, queries: Sequence[str], *, timeout_s: float) -> list[Any]:
    """The value of each query, such as `data.main.deny`; None for an undefined one.

    `modules`: their text by the name that errors show. `document`: the policies' `input`, anything that JSON can hold.
    A policy sees neither the environment nor Slipway's memory. Raises PartMissing, PolicyInvalid (a module does not
    compile, a function fails, too much memory), PolicyTimedOut.
    """
    check_engine()
    asked = {"modules": dict(modules), "input": document, "queries": list(queries)}
    argv = [sys.executable, str(Path(program.__file__ or ""))]
    # `opa.runtime()` gives a policy the environment of the process.
    env = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}
    pipe = asyncio.subprocess.PIPE
    named = ", ".join(modules)
    try:
        async with (
            asyncio.timeout(timeout_s),
            child_process(*argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env) as child,
        ):
            watching = asyncio.ensure_future(_end_if_too_large(child))
            try:
                answer, said = await child.communicate(json.dumps(asked).encode())
            finally:
                watching.cancel()
    except TimeoutError:
        raise PolicyTimedOut(f"the policy {named} did not answer within {timeout_s:g} s") from None
    if child.returncode == -signal.SIGKILL:
        raise PolicyInvalid(f"the policy {named} took too much memory: more than {_MEMORY >> 20} MiB")
    if child.returncode != 0:
        details = _told(said.decode(errors="replace"))
        refused = child.returncode == program.REFUSED
        why = "cannot be evaluated" if refused else f"ended its evaluation with exit code {child.returncode}"
        raise PolicyInvalid(f"the policy {named} {why}", details=details)
    if len(answer) > _MOST_BYTES:
        raise PolicyInvalid(f"the policy {named} answered with {len(answer)} bytes; the limit is {_MOST_BYTES}")
    values: list[Any] = json.loads(answer)
    return values


def _told(text: str) -> str:
    """What the engine says to people, else to programs."""
    lines = [line for line in (_FOR_PROGRAMS.sub("", text).strip() or text).split("\n") if line.strip()]
    return "\n".join(line[:_LONGEST_LINE] for line in lines[:_MOST_LINES])


async def _end_if_too_large(child: Process) -> None:
    """A limit of the system does not help: the engine's allocator reserves far more addresses than it uses."""
    while (resident := _resident(child.pid)) is not None:
        if resident > _MEMORY:
            child.kill()
            return
        await asyncio.sleep(_LOOK_S)


def _resident(pid: int) -> int | None:
    """Bytes in memory; None if it has ended, or this is not Linux (proc_pid_statm(5))."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, IndexError):
        return None
