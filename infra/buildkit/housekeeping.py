"""A daemon's cache and build history, as plain values.

Messages: UsageRecord, BuildHistoryRecord in api/services/control/control.proto (moby/buildkit). Times are seconds since
the epoch on the daemon's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect_slipway.infra.buildkit.build.events import seconds
from prefect_slipway.infra.buildkit.build.scrub import scrub

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.wire.control_pb2 import BuildHistoryRecord, UsageRecord


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """One entry of the cache. `size`: bytes. `kind`: such as `regular`, `source.local`, `exec.cachemount`."""

    id: str
    kind: str
    description: str
    size: int
    in_use: bool

    @classmethod
    def of(cls, record: UsageRecord) -> CacheRecord:
        return cls(record.ID, record.RecordType, record.Description, record.Size, record.InUse)


@dataclass(frozen=True, slots=True)
class RecordedBuild:
    """A build in the daemon's history. `ref`: its id. `completed`: None while it runs. `error`: "" for one that went
    well."""

    ref: str
    created: float
    completed: float | None
    error: str

    @classmethod
    def of(cls, record: BuildHistoryRecord) -> RecordedBuild:
        return cls(
            ref=record.Ref,
            created=seconds(record.CreatedAt),
            completed=seconds(record.CompletedAt) if record.HasField("CompletedAt") else None,
            error=scrub(record.error.message),
        )
