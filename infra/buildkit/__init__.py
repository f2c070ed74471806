"""BuildKit from Python: its gRPC API spoken directly, credentials served live, progress as plain values.

`BuildKit` is the client; everything else here is what goes into it and comes out. Nothing of protobuf or HTTP/2 shows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.buildkit.address import BuilderAddress, TlsFiles
    from infra.buildkit.build import BuildOutcome, BuildRequest
    from infra.buildkit.cache import CacheEntry
    from infra.buildkit.client import BuilderInfo, BuildKit, Worker
    from infra.buildkit.engine import DockerEngine
    from infra.buildkit.events import BuildEvent, LogChunk, Progress, Step, Warned
    from infra.buildkit.housekeeping import CacheRecord, HistoryEvent, RecordedBuild
    from infra.buildkit.http2 import Keepalive
    from infra.buildkit.outputs import (
        DockerOutput,
        EngineLoad,
        ImagePush,
        ImageStore,
        LocalOutput,
        OciOutput,
        Output,
        TarOutput,
    )
    from infra.buildkit.secrets import SecretEnv, SecretFile, SecretSource, SshSource

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
    "HistoryEvent",
    "ImagePush",
    "ImageStore",
    "Keepalive",
    "LocalOutput",
    "LogChunk",
    "OciOutput",
    "Output",
    "Progress",
    "RecordedBuild",
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
    "build": ("BuildOutcome", "BuildRequest"),
    "cache": ("CacheEntry",),
    "client": ("BuilderInfo", "BuildKit", "Worker"),
    "engine": ("DockerEngine",),
    "events": ("BuildEvent", "LogChunk", "Progress", "Step", "Warned"),
    "housekeeping": ("CacheRecord", "HistoryEvent", "RecordedBuild"),
    "http2": ("Keepalive",),
    "outputs": (
        "DockerOutput",
        "EngineLoad",
        "ImagePush",
        "ImageStore",
        "LocalOutput",
        "OciOutput",
        "Output",
        "TarOutput",
    ),
    "secrets": ("SecretEnv", "SecretFile", "SecretSource", "SshSource"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
