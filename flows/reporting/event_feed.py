"""Slipway's events from the Prefect server, each delivered once despite lost connections and restarts.

The server files events some seconds after they happened (event persister: at most 5 s) and orders them by when they
happened on the machine that sent them. So the feed reads a stretch of the past again and remembers what it gave.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.events import ReceivedEvent
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventOrder

PREFIX = "slipway."
# How late an event may be: the server's delay and the difference of two machines' clocks.
LATENESS = timedelta(minutes=10)
_PAGE = 50  # the server's limit


@dataclass
class EventFeed:
    """`start`: earlier events are skipped. `given`: ids and times of delivered events that may be read again."""

    start: datetime
    newest: datetime
    given: dict[UUID, datetime] = field(default_factory=dict)

    @classmethod
    def from_now(cls) -> Self:
        now = datetime.now(UTC)
        return cls(now, now)

    @classmethod
    def resumed(cls, text: str) -> Self:
        """The feed at the position of `saved`. Raises ValueError, KeyError for another text."""
        values = json.loads(text)
        given = {UUID(identity): datetime.fromisoformat(when) for identity, when in values["given"].items()}
        return cls(datetime.fromisoformat(values["start"]), datetime.fromisoformat(values["newest"]), given)

    def saved(self) -> str:
        """As JSON."""
        given = {str(identity): when.isoformat() for identity, when in self.given.items()}
        return json.dumps({"start": self.start.isoformat(), "newest": self.newest.isoformat(), "given": given})

    async def read(self, client: PrefectClient) -> list[ReceivedEvent]:
        """Events since the last call, oldest first. If it raises, the next call returns them all."""
        since = max(self.start, self.newest - LATENESS)
        page = await client.read_events(
            EventFilter(
                occurred=EventOccurredFilter(since=since),
                event=EventNameFilter(prefix=[PREFIX]),
                order=EventOrder.ASC,
            ),
            limit=_PAGE,
        )
        found = list(page.events)
        while (following := await page.get_next_page(client)) is not None:
            page = following
            found += page.events
        return list(self._new(found, since))

    def _new(self, found: list[ReceivedEvent], since: datetime) -> Iterator[ReceivedEvent]:
        self.given = {identity: when for identity, when in self.given.items() if when >= since}
        for event in found:
            if event.id not in self.given:
                self.given[event.id] = event.occurred
                self.newest = max(self.newest, event.occurred)
                yield event


def resume(file: Path | None) -> EventFeed:
    """The feed saved in `file`, or one that starts now."""
    if file is None or not file.exists():
        return EventFeed.from_now()
    return EventFeed.resumed(file.read_text(encoding="utf-8"))
