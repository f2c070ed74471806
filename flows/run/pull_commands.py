"""Commands that pull a released image, shown at the end of each report; they work exactly as printed."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from prefect_slipway.flows.run.logins import Logins
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.local.engine import default_engine_answers


async def pull_commands(run: OpenRun, registries: Registries, references: Iterable[str]) -> tuple[str, ...]:
    """`docker pull` of each reference, after the registry's login if it was not done here yet."""
    docker = await asyncio.to_thread(_docker, run.stack)
    logins: dict[str, None] = {}
    pulls = []
    for reference in references:
        if login := _login(run, registries, ImageReference.parse(reference).registry):
            logins[login] = None
        pulls.append(f"{docker} pull {reference}")
    return (*logins, *pulls)


def slipway_command() -> str:
    """How a shell here starts Slipway."""
    return "slipway" if shutil.which("slipway") else shlex.quote(str(Path(sysconfig.get_path("scripts")) / "slipway"))


def _docker(stack: StackConnection | None) -> str:
    """The docker command; where no engine but the stack's private one runs, with that one's address."""
    kind, _, socket = (stack.builder if stack else "").partition("://")
    if kind != "docker" or default_engine_answers():
        return "docker"
    return f"docker --host unix://{shlex.quote(socket)}"


def _login(run: OpenRun, registries: Registries, registry: str) -> str | None:
    """The command after which docker finds the registry's credential, None if there is none or it is done."""
    path = registries.paths().get(registry)
    if (
        path is None or run.request.credentials.vault is not None
    ):  # the Vault of a saved block is known to Prefect alone
        return None
    try:
        if Logins.of_this_user().get(registry) is not None:
            return None
    except InvalidOption:
        pass  # `slipway login` says what is wrong with what was noted
    slipway, stack = slipway_command(), run.stack
    if stack is not None and (registry, str(path)) == (stack.registry, stack.registry_secret):
        return f"{slipway} login"
    return f"{slipway} login {registry} --credentials {path}"
