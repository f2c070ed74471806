"""Which node of a builder builds which platform: where it is native, and by emulation only if that is allowed.

A daemon lists what each of its workers can run, the worker's own platform first. What follows runs on the same
processor, or the kernel hands it to an emulator (util/archutil/detect.go, `SupportedPlatforms`, moby/buildkit). What
else a processor runs: github.com/containerd/platforms, compare.go, `platformVector`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from prefect_slipway.infra.domain.errors import InvalidOption, PlatformUnavailable
from prefect_slipway.infra.domain.platform import normal_platform

# Architectures of 32 bits that a processor may run besides its own: only if the daemon has tried, and lists them.
_ALSO = {"amd64": "386", "arm64": "arm"}
_VARIANT = re.compile(r"v(\d+)(?:\.(\d+))?")
_NO_VARIANT = {"amd64": "v1", "arm64": "v8", "arm": "v7"}


class Fit(IntEnum):
    """How well a node suits a platform; the lowest is the best."""

    OWN = 0
    NATIVE = 1
    EMULATED = 2
    UNLISTED = 3


@dataclass(frozen=True, slots=True)
class Node:
    """One daemon of a builder. `name`: how people know it; `workers`: the platforms that each worker lists, its own
    first. One that lists nothing counts as one that has everything."""

    name: str
    workers: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, name: str, workers: Iterable[Sequence[str]]) -> Node:
        """The platforms are read in any of the forms that `normal_platform` knows; what has none of them is left
        out."""
        read = (tuple(_read(listed)) for listed in workers)
        return cls(name, tuple(listed for listed in read if listed))

    @property
    def own(self) -> tuple[str, ...]:
        """The platform that it builds unless another is asked for; empty if it lists nothing."""
        return self.workers[0][:1] if self.workers else ()

    def fit(self, platform: str) -> Fit:
        return min((_fit(platform, listed) for listed in self.workers), default=Fit.OWN)

    def shown(self) -> str:
        """What it has, for people."""
        listed = list(dict.fromkeys(platform for worker in self.workers for platform in worker))
        native = [platform for platform in listed if self.fit(platform) <= Fit.NATIVE]
        emulated = [platform for platform in listed if platform not in native]
        more = f"; emulates {', '.join(emulated)}" if emulated else ""
        return f"{self.name} runs {', '.join(native)}{more}"


@dataclass(frozen=True, slots=True)
class Share:
    """What one node builds. `platforms`: empty for the daemon's own; `emulated`: those that are not native there."""

    node: Node
    platforms: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()

    def shown(self) -> str:
        """`linux/amd64, linux/arm64 (not native) on NODE`."""
        platforms = [f"{each} (not native)" if each in self.emulated else each for each in self.platforms]
        return f"{', '.join(platforms or self.node.own)} on {self.node.name}"


def share_platforms(wanted: Iterable[str], nodes: Sequence[Node], *, emulate: bool) -> tuple[Share, ...]:
    """Who builds what. `wanted`: in the form that images have them (`normal_platform`), none for the first node's own.
    `nodes`: at least one. `emulate`: a platform that is native nowhere goes to a node that emulates it, else to the
    first, where a Dockerfile that cross-compiles builds it as well.

    Of nodes that suit a platform equally, the one with the fewest gets it. Raises PlatformUnavailable.
    """
    platforms = tuple(dict.fromkeys(wanted))
    if not platforms:
        return (Share(nodes[0]),)
    shares: list[list[str]] = [[] for _ in nodes]
    for platform in platforms:
        best = min(range(len(nodes)), key=lambda place: (nodes[place].fit(platform), len(shares[place]), place))
        if nodes[best].fit(platform) > Fit.NATIVE and not emulate:
            raise _unavailable(platform, nodes)
        shares[best].append(platform)
    return tuple(
        Share(node, tuple(share), tuple(each for each in share if node.fit(each) > Fit.NATIVE))
        for node, share in zip(nodes, shares, strict=True)
        if share
    )


def _read(listed: Sequence[str]) -> Iterator[str]:
    for text in listed:
        with suppress(InvalidOption):
            yield normal_platform(text)


def _unavailable(platform: str, nodes: Sequence[Node]) -> PlatformUnavailable:
    who = "the builder does not run" if len(nodes) == 1 else "no node of the builder runs"
    return PlatformUnavailable(f"{who} {platform} natively", details="\n".join(node.shown() for node in nodes))


def _fit(platform: str, listed: Sequence[str]) -> Fit:
    """`listed`: by one worker, its own first."""
    own = listed[0]
    if platform == own:
        return Fit.OWN
    covering = [each for each in listed if _covers(each, platform)]
    if any(_on_the_same_processor(own, each) for each in covering):
        return Fit.NATIVE
    return Fit.EMULATED if covering else Fit.UNLISTED


def _on_the_same_processor(own: str, other: str) -> bool:
    (system, architecture, _), (its_system, its_architecture, _) = _parts(own), _parts(other)
    return system == its_system and its_architecture in {architecture, _ALSO.get(architecture)}


def _covers(listed: str, platform: str) -> bool:
    """Whether what runs the one runs the other: the same, or an older variant of the same architecture."""
    (system, architecture, variant), (its_system, its_architecture, its_variant) = _parts(listed), _parts(platform)
    if (system, architecture) != (its_system, its_architecture):
        return False
    newest, asked = _VARIANT.fullmatch(variant), _VARIANT.fullmatch(its_variant)
    if newest is None or asked is None:
        return variant == its_variant
    return (int(asked[1]), int(asked[2] or 0)) <= (int(newest[1]), int(newest[2] or 0))


def _parts(platform: str) -> tuple[str, str, str]:
    system, architecture, variant = (*platform.split("/"), "", "")[:3]
    return system, architecture, variant or _NO_VARIANT.get(architecture, "")
