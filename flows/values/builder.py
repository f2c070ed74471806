"""What is known of a builder before it builds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefect_slipway.infra.domain.errors import BuilderUnreachable, PlatformUnavailable
from prefect_slipway.infra.domain.nodes import Node, Share, share_platforms


@dataclass(frozen=True, slots=True)
class BuilderFacts:
    """A builder. `nodes`: those that answer, at least one; `missing`: the names of the others; `first`: of the one that
    builds what is for no certain platform."""

    nodes: tuple[Node, ...]
    missing: tuple[str, ...]
    first: str

    @property
    def is_several(self) -> bool:
        return len(self.nodes) + len(self.missing) > 1

    def shares(self, platforms: Sequence[str], *, emulate: bool) -> tuple[Share, ...]:
        """Who builds what; as of `share_platforms`. Raises PlatformUnavailable, or BuilderUnreachable where a missing
        node might build it."""
        missing = f"{', '.join(self.missing)} cannot be reached"
        if not platforms and self.first in self.missing:
            raise BuilderUnreachable(f"{missing}, and the first node builds what is for no certain platform")
        try:
            return share_platforms(platforms, self.nodes, emulate=emulate)
        except PlatformUnavailable as error:
            if self.missing:
                raise BuilderUnreachable(f"{missing}, and without it {error.cause}", details=error.details) from error
            raise
