"""One image, built by several nodes at the same time: each builds its platforms, or another one if it is lost."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import BuilderError
from prefect_slipway.infra.domain.nodes import Fit, Node, Share, share_platforms

logger = logging.getLogger(__name__)

BuildShare = Callable[[Share], Awaitable[str]]
"""Builds and pushes what a node shall build; returns the digest."""


class Part(NamedTuple):
    """What a node built and pushed. `digest`: of an image, or of an index of the share's platforms."""

    share: Share
    digest: str


async def build_parts(
    shares: Sequence[Share], nodes: Sequence[Node], build: BuildShare, *, emulate: bool
) -> tuple[Part, ...]:
    """Build all shares; the first failure cancels the others. `nodes`: who may take over; `emulate`: also those that
    only emulate the platform. Raises what `build` raises."""
    parts = await run_concurrently(*(_part(share, nodes, build, emulate=emulate) for share in shares))
    return tuple(part for each in parts for part in each)


async def _part(share: Share, nodes: Sequence[Node], build: BuildShare, *, emulate: bool) -> tuple[Part, ...]:
    try:
        return (Part(share, await build(share)),)
    except BuilderError as error:
        if not error.retryable or len(nodes) == 1:
            raise
        left = [node for node in nodes if node != share.node]
        platforms = share.platforms or share.node.own
        if not platforms or not _can(left, share, emulate=emulate):
            raise error.adding(f"no other node builds {', '.join(platforms)} for {share.node.name}") from error
        others = share_platforms(platforms, left, emulate=True)
        news = f"WARN: {error.cause}; built elsewhere instead: {'; '.join(other.shown() for other in others)}"
    watcher().say(news)
    logger.warning("%s", news)
    return await build_parts(others, left, build, emulate=emulate)


def _can(nodes: Sequence[Node], share: Share, *, emulate: bool) -> bool:
    """Whether these nodes suit each platform as well as it has to be."""
    enough = Fit.EMULATED if emulate else Fit.NATIVE
    return all(
        min(node.fit(platform) for node in nodes) <= max(enough, share.node.fit(platform))
        for platform in share.platforms or share.node.own
    )
