"""Gates before anything is built: what they need exists, and may be used."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.flows.request.gates import BLOCK, SOURCE, Gate
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.saved_blocks import load_text
from prefect_slipway.infra.domain.errors import GateForbidden, GateMissing
from prefect_slipway.infra.rego.evaluator import check_engine, package_of
from prefect_slipway.infra.signing.gate_result import Waiver
from prefect_slipway.infra.source.checkout import Checkout

ALLOWED = "SLIPWAY_GATE_COMMANDS"
"""The environment variable of a worker with the programs that gates may start there, separated by commas; `*` for any.
Who triggers a run chooses its parameters, so these cannot allow it."""

_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class PreparedGate:
    """`argv`: of a command; `text`: of a policy, with its `package`. `definition`: the digest of what will be asked."""

    gate: Gate
    definition: str
    argv: tuple[str, ...] = ()
    text: str = ""
    package: str = ""

    @property
    def name(self) -> str:
        return self.gate.name


@dataclass(frozen=True, slots=True)
class PreparedGates:
    """All gates of a release, with the waivers that the request names."""

    gates: tuple[PreparedGate, ...] = ()
    waivers: tuple[Waiver, ...] = ()


def prepare_command(gate: Gate, *, supervised: bool, env: Mapping[str, str] = os.environ) -> PreparedGate:
    """`supervised`: a worker runs it for somebody who is not at its terminal. Raises GateForbidden, GateMissing."""
    argv = tuple(shlex.split(gate.what))
    if supervised:
        allowed = [each.strip() for each in env.get(ALLOWED, "").split(",")]
        if "*" not in allowed and argv[0] not in allowed:
            raise GateForbidden(f"the gate {gate.name!r} may not start {argv[0]!r} on this worker")
    if shutil.which(argv[0]) is None:
        raise GateMissing(f"the gate {gate.name!r} needs the program {argv[0]!r}, which does not exist here")
    return PreparedGate(gate, _digest(gate.what), argv=argv)


async def prepare_policy(run: OpenRun, checkout: Checkout, gate: Gate) -> PreparedGate:
    """Raises GateMissing, PartMissing, PolicyInvalid."""
    check_engine()
    text = await read_place(run, checkout, "--gate", gate.what)
    return PreparedGate(gate, _digest(text), text=text, package=package_of(gate.what, text))


def prepare_deployment(gate: Gate) -> PreparedGate:
    return PreparedGate(gate, _digest(f"deployment:{gate.what}"))


async def read_place(run: OpenRun, checkout: Checkout, option: str, place: str) -> str:
    """The text of a file in the source, of this machine, or of a saved block. Raises GateMissing, InvalidOption."""
    if place.startswith(BLOCK):
        return await load_text(place.removeprefix(BLOCK))
    path = place
    if place.startswith(SOURCE):
        path = str(Places.of(checkout.path, checkout.top, ()).path(option, place.removeprefix(SOURCE)))
    try:
        text = await asyncio.to_thread(_read, path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise GateMissing(f"{option}: {place} cannot be read ({reason})") from None
    if len(text) > _LIMIT:
        raise GateMissing(f"{option}: {place} is longer than {_LIMIT} characters")
    return text


def _read(path: str) -> str:
    with Path(path).open(encoding="utf-8-sig") as file:
        return file.read(_LIMIT + 1)


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
