"""What a daemon keeps: its cache and the record of its builds, as plain values.

Messages: UsageRecord, BuildHistoryRecord, BuildHistoryEvent in api/services/control/control.proto (moby/buildkit).
Times are seconds since the epoch on the daemon's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from prefect_slipway.infra.buildkit.build.events import seconds
from prefect_slipway.infra.buildkit.build.scrub import scrub

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.wire.control_pb2 import BuildHistoryEvent as HistoryMessage
    from prefect_slipway.infra.buildkit.wire.control_pb2 import BuildHistoryRecord, UsageRecord


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """One entry of the cache. `size`: bytes. `kind`: such as `regular`, `source.local`, `exec.cachemount`. `last_used`:
    None if never. `shared`: its bytes are also an image's."""

    id: str
    kind: str
    description: str
    size: int
    in_use: bool
    mutable: bool
    shared: bool
    parents: tuple[str, ...]
    created: float
    last_used: float | None
    usage_count: int

    @classmethod
    def of(cls, record: UsageRecord) -> CacheRecord:
        return cls(
            id=record.ID,
            kind=record.RecordType,
            description=record.Description,
            size=record.Size,
            in_use=record.InUse,
            mutable=record.Mutable,
            shared=record.Shared,
            parents=tuple(record.Parents),
            created=seconds(record.CreatedAt),
            last_used=seconds(record.LastUsedAt) if record.HasField("LastUsedAt") else None,
            usage_count=record.UsageCount,
        )


@dataclass(frozen=True, slots=True)
class RecordedBuild:
    """A build in the daemon's history. `ref`: its id. `options`: what the frontend was asked, `outcome`: what the
    exporters said. `completed`: None while it runs. `error`: "" for one that went well. `steps`, `cached_steps`: 0 from
    a daemon that does not count them (before v0.16)."""

    ref: str
    frontend: str
    options: Mapping[str, str] = field(repr=False)  # build arguments and cache tokens are among them
    outcome: Mapping[str, str]
    created: float
    completed: float | None
    error: str
    pinned: bool
    steps: int
    cached_steps: int

    @classmethod
    def of(cls, record: BuildHistoryRecord) -> RecordedBuild:
        return cls(
            ref=record.Ref,
            frontend=record.Frontend,
            options=dict(record.FrontendAttrs),
            outcome=dict(record.ExporterResponse),
            created=seconds(record.CreatedAt),
            completed=seconds(record.CompletedAt) if record.HasField("CompletedAt") else None,
            error=scrub(record.error.message),
            pinned=record.pinned,
            steps=record.numTotalSteps,
            cached_steps=record.numCachedSteps,
        )


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """A build has started, is complete or has been deleted."""

    kind: Literal["started", "complete", "deleted"]
    build: RecordedBuild

    @classmethod
    def of(cls, event: HistoryMessage) -> HistoryEvent:
        kinds: tuple[Literal["started", "complete", "deleted"], ...] = ("started", "complete", "deleted")
        return cls(kinds[event.type], RecordedBuild.of(event.record))
