"""One image, built by several nodes at the same time: each builds its platforms, or another one if it is lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import (
    BuilderError,
    RegistryProtocolError,
    RegistryUnavailable,
    RepositoryUnknown,
    UploadBroken,
)
from prefect_slipway.infra.domain.nodes import Fit, Node, Share, share_platforms

logger = logging.getLogger(__name__)

# distribution 2.8 links a repository's layers in place: who pushes a manifest while somebody else pushes the same
# layers gets DIGEST_INVALID (400), BLOB_UNKNOWN (404) or a 500. The second time all layers are there.
_COLLISIONS = (RegistryProtocolError, RepositoryUnknown, RegistryUnavailable, UploadBroken)
_TRIES = 4

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
    pushing = build if len(shares) == 1 else _beside_others(build)
    parts = await run_concurrently(*(_part(share, nodes, pushing, emulate=emulate) for share in shares))
    return tuple(part for each in parts for part in each)


def _beside_others(build: BuildShare) -> BuildShare:
    """The same, again where the registry may have stumbled over another node's push of the same layers."""

    async def building(share: Share) -> str:
        for left in reversed(range(_TRIES)):
            try:
                return await build(share)
            except _COLLISIONS as error:
                if not left:
                    raise
                _warn(f"{error.cause}, perhaps because another node pushes the same layers; trying again")
                await asyncio.sleep(random.uniform(0.1, 0.5))  # noqa: S311 (no secret)
        raise AssertionError("unreachable")

    return building


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
        _warn(f"{error.cause}; built elsewhere instead: {'; '.join(other.shown() for other in others)}")
    return await build_parts(others, left, build, emulate=emulate)


def _warn(text: str) -> None:
    watcher().say(f"WARN: {text}")
    logger.warning("%s", text)


def _can(nodes: Sequence[Node], share: Share, *, emulate: bool) -> bool:
    """Whether these nodes suit each platform as well as it has to be."""
    enough = Fit.EMULATED if emulate else Fit.NATIVE
    return all(
        min(node.fit(platform) for node in nodes) <= max(enough, share.node.fit(platform))
        for platform in share.platforms or share.node.own
    )
