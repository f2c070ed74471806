"""BuildKit from Python: its gRPC API spoken directly, credentials served live, progress as plain values.

`BuildKit` is the client; everything else here is what goes into it and comes out. Nothing of protobuf or HTTP/2 shows.
"""

from infra.buildkit.address import BuilderAddress, TlsFiles
from infra.buildkit.build import BuildOutcome, BuildRequest
from infra.buildkit.cache import CacheEntry
from infra.buildkit.client import BuilderInfo, BuildKit, Worker
from infra.buildkit.events import BuildEvent, LogChunk, Progress, Step, Warned
from infra.buildkit.housekeeping import CacheRecord, HistoryEvent, RecordedBuild
from infra.buildkit.http2 import Keepalive
from infra.buildkit.outputs import (
    DockerOutput,
    ImagePush,
    ImageStore,
    LocalOutput,
    OciOutput,
    Output,
    TarOutput,
)
from infra.buildkit.secrets import SecretEnv, SecretFile, SecretSource

__all__ = [
    "BuildEvent",
    "BuildKit",
    "BuildOutcome",
    "BuildRequest",
    "BuilderAddress",
    "BuilderInfo",
    "CacheEntry",
    "CacheRecord",
    "DockerOutput",
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
    "Step",
    "TarOutput",
    "TlsFiles",
    "Warned",
    "Worker",
]
