"""BuildKit from Python: its gRPC API spoken directly, credentials served live, progress as plain values.

`BuildKit` is the client; everything else here is what goes into it and comes out. Nothing of protobuf or HTTP/2 shows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
    from prefect_slipway.infra.buildkit.build.cache import CacheEntry
    from prefect_slipway.infra.buildkit.build.docker_engine import DockerEngine
    from prefect_slipway.infra.buildkit.build.events import BuildEvent, LogChunk, Progress, Step, Warned
    from prefect_slipway.infra.buildkit.build.outputs import (
        DockerOutput,
        EngineLoad,
        ImagePush,
        ImageStore,
        LocalOutput,
        OciOutput,
        Output,
        TarOutput,
    )
    from prefect_slipway.infra.buildkit.build.request import BuildOutcome, BuildRequest
    from prefect_slipway.infra.buildkit.client import BuilderInfo, BuildKit, Worker
    from prefect_slipway.infra.buildkit.housekeeping import CacheRecord, RecordedBuild
    from prefect_slipway.infra.buildkit.http2.connection import Keepalive
    from prefect_slipway.infra.buildkit.session.sources import (
        SecretCall,
        SecretEnv,
        SecretFile,
        SecretSource,
        SshSource,
    )

__all__ = [
    "BuildEvent",
    "BuildKit",
    "BuildOutcome",
    "BuildRequest",
    "BuilderAddress",
    "BuilderInfo",
    "CacheEntry",
    "CacheRecord",
    "DockerEngine",
    "DockerOutput",
    "EngineLoad",
    "ImagePush",
    "ImageStore",
    "Keepalive",
    "LocalOutput",
    "LogChunk",
    "OciOutput",
    "Output",
    "Progress",
    "RecordedBuild",
    "SecretCall",
    "SecretEnv",
    "SecretFile",
    "SecretSource",
    "SshSource",
    "Step",
    "TarOutput",
    "TlsFiles",
    "Warned",
    "Worker",
]

# Imported when they are first used, for a command line that starts fast.
_MODULES = {
    "address": ("BuilderAddress", "TlsFiles"),
    "build.request": ("BuildOutcome", "BuildRequest"),
    "build.cache": ("CacheEntry",),
    "client": ("BuilderInfo", "BuildKit", "Worker"),
    "build.docker_engine": ("DockerEngine",),
    "build.events": ("BuildEvent", "LogChunk", "Progress", "Step", "Warned"),
    "housekeeping": ("CacheRecord", "RecordedBuild"),
    "http2.connection": ("Keepalive",),
    "build.outputs": (
        "DockerOutput",
        "EngineLoad",
        "ImagePush",
        "ImageStore",
        "LocalOutput",
        "OciOutput",
        "Output",
        "TarOutput",
    ),
    "session.sources": ("SecretCall", "SecretEnv", "SecretFile", "SecretSource", "SshSource"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
