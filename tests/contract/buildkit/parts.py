"""What the tests of this folder build with."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.events import BuildEvent, LogChunk
from prefect_slipway.infra.buildkit.build.outputs import Output
from prefect_slipway.infra.buildkit.build.request import BuildOutcome, BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Anonymous, Credential
from tests import patient
from tests.contract.buildkit.relay import Streams

BUSYBOX = Path(shutil.which("busybox") or "/bin/busybox")
BASE = "FROM scratch\nCOPY busybox /bin/busybox\n"


@dataclass(frozen=True)
class Engine:
    """A private Docker engine with its state below `home`, or the daemon that SLIPWAY_TEST_BUILDER names."""

    address: str
    home: Path

    @property
    def is_docker(self) -> bool:
        return self.address.startswith("docker://")

    @property
    def socket(self) -> Path:
        return BuilderAddress.parse(self.address).path

    @property
    def upstream(self) -> Path | Callable[[], Awaitable[Streams]]:
        """What a Relay passes on to."""
        return self.socket if self.is_docker else lambda: asyncio.open_unix_connection(self.socket)


@dataclass(frozen=True)
class Registry:
    host: str
    username: str
    password: str

    @property
    def credentials(self) -> Answering:
        return Answering(Credential(self.username, self.password))

    def get(self, path: str, accept: str = "*/*") -> httpx.Response:
        return patient.get(
            f"http://{self.host}/v2/{path}", auth=(self.username, self.password), headers={"Accept": accept}
        )

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        answer = self.get(f"{repository}/manifests/{reference}", accept)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    def config(self, repository: str, reference: str) -> dict[str, Any]:
        digest = self.manifest(repository, reference)["config"]["digest"]
        result: dict[str, Any] = self.get(f"{repository}/blobs/{digest}").raise_for_status().json()
        return result


@dataclass
class Answering:
    """A CredentialSource that answers with `current`, which a test may change, and notes who was asked for."""

    current: Credential | None
    asked: list[str] = field(default_factory=list)

    async def credential(self, host: str) -> Credential | None:
        self.asked.append(host)
        return self.current


def run(command: str) -> str:
    """A RUN instruction in busybox's shell."""
    quoted = command.replace("\\", "\\\\").replace('"', '\\"')
    return f'RUN ["/bin/busybox", "sh", "-c", "{quoted}"]\n'


def busybox_context(folder: Path, dockerfile: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "busybox").exists():
        shutil.copy2(BUSYBOX, folder / "busybox")
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


async def build(
    address: str,
    context: Path,
    *,
    output: Output | None = None,
    outputs: tuple[Output, ...] = (),
    credentials: Answering | None = None,
    events: list[BuildEvent] | None = None,
    **options: Any,
) -> BuildOutcome:
    """One build on a connection of its own; RUN steps without a network."""
    outputs = (output,) if output is not None else outputs
    request = BuildRequest(context=context, outputs=outputs, network="none", **options)
    async with BuildKit(BuilderAddress.parse(address)) as builder:
        return await builder.build(
            request, credentials or Anonymous(), events.append if events is not None else lambda _: None
        )


async def older_than(engine: Engine, major: int, minor: int) -> bool:
    """Whether the daemon says that it is. A Docker engine may not tell its BuildKit's version."""
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        version = (await builder.info()).version
    numbers = version.removeprefix("v").split(".")
    return version != "v0.0.0+unknown" and (int(numbers[0]), int(numbers[1])) < (major, minor)


def output_of(events: list[BuildEvent]) -> str:
    """All that the steps wrote."""
    return b"".join(event.data for event in events if isinstance(event, LogChunk)).decode()


def docker(engine: Engine, *arguments: str, given: bytes | None = None) -> str:
    """What the command prints, with `given` as its input."""
    command = ["docker", "--host", f"unix://{engine.socket}", *arguments]
    done = subprocess.run(command, input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def open_descriptors() -> int:
    """How many files, sockets and pipes this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))
