"""Whether a base image changed since an image was released: the registry's content compared with the recorded one.

Recorded for an image: the digest of the checked release, what its bases are believed to have been
(`believed`), and what was seen in the registry (`seen`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

State = Mapping[str, str]
"""What a name stands for in the registry: the digest for each platform (`""`: an image without an index)."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A base as the registry has it now. `begins`: whether the released image begins with its layers; None for an
    image that is only built with."""

    name: str
    now: State
    begins: bool | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A base that changed; `before`: empty if it was not recorded."""

    name: str
    before: State
    now: State


@dataclass(frozen=True, slots=True)
class Noted:
    """`digest`: of the release. None in `believed`: something else than what is there now, not known what."""

    digest: str
    believed: Mapping[str, State | None] = field(default_factory=dict)
    seen: Mapping[str, State] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: Any) -> Self | None:
        """Read what `as_value` made; None for anything else."""
        try:
            return cls(str(value["digest"]), dict(value["believed"]), dict(value["seen"]))
        except (KeyError, TypeError, ValueError):
            return None

    def as_value(self) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "believed": {name: dict(state) if state is not None else None for name, state in self.believed.items()},
            "seen": {name: dict(state) for name, state in self.seen.items()},
        }


def look(digest: str, sightings: list[Sighting], before: Noted | None) -> tuple[list[Move], Noted]:
    """The bases that changed since the release with this digest, and the record to keep.

    A base of the image itself is told by its layers, which the image begins with unless the base moved. One that is
    only built with is told by what was noted: a first look can only note it; after a release that came in between, what
    was seen before that counts, so a move just before it is taken for news once more (a patch release too many rather
    than one too few). A base whose move has led to a release already is not news, whatever the layers say.
    """
    believed: dict[str, State | None] = {}
    for sighting in sightings:
        if before is not None and before.digest == digest and sighting.name in before.believed:
            believed[sighting.name] = before.believed[sighting.name]
        elif sighting.begins:
            believed[sighting.name] = sighting.now
        elif before is not None and before.digest != digest and sighting.name in before.seen:
            believed[sighting.name] = before.seen[sighting.name]
        else:
            believed[sighting.name] = sighting.now if sighting.begins is None else None
    moves = [
        Move(sighting.name, believed[sighting.name] or {}, sighting.now)
        for sighting in sightings
        if believed[sighting.name] != sighting.now
    ]
    return moves, Noted(digest, believed, {sighting.name: sighting.now for sighting in sightings})
