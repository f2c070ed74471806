"""Which node builds which platform."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import PlatformUnavailable
from prefect_slipway.infra.domain.nodes import Fit, Node, share_platforms

# As daemons list them: an amd64 machine without and with QEMU, an arm64 one with and without 32 bits.
AMD64 = ("linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "linux/386")
QEMU = ("linux/amd64", "linux/amd64/v2", "linux/arm64", "linux/riscv64", "linux/386", "linux/arm/v7", "linux/arm/v6")
ARM64 = ("linux/arm64", "linux/arm", "linux/arm/v6")
ARM64_ONLY = ("linux/arm64",)


def nodes(**listed: tuple[str, ...]) -> list[Node]:
    return [Node.of(name, [platforms]) for name, platforms in listed.items()]


def shared(wanted: list[str], of: list[Node], *, emulate: bool = False) -> dict[str, tuple[str, ...]]:
    return {share.node.name: share.platforms for share in share_platforms(wanted, of, emulate=emulate)}


@pytest.mark.parametrize(
    ("listed", "platform", "fit"),
    [
        (AMD64, "linux/amd64", Fit.OWN),
        (AMD64, "linux/386", Fit.NATIVE),
        (AMD64, "linux/amd64/v3", Fit.NATIVE),
        (AMD64, "linux/amd64/v4", Fit.UNLISTED),
        (AMD64, "linux/arm64", Fit.UNLISTED),
        (QEMU, "linux/arm64", Fit.EMULATED),
        (QEMU, "linux/arm/v6", Fit.EMULATED),
        (ARM64, "linux/arm/v7", Fit.NATIVE),
        (ARM64, "linux/arm/v5", Fit.NATIVE),
        (ARM64, "linux/386", Fit.UNLISTED),
        (ARM64_ONLY, "linux/arm/v7", Fit.UNLISTED),
        (("linux/arm/v7", "linux/arm/v6"), "linux/arm/v6", Fit.NATIVE),
        (("linux/arm/v6",), "linux/arm/v7", Fit.UNLISTED),
        (("linux/amd64/v3",), "linux/amd64", Fit.NATIVE),
        (("linux/arm64/v9",), "linux/arm64/v8.2", Fit.NATIVE),
        (("linux/riscv64",), "linux/riscv64/rva23u64", Fit.UNLISTED),
        (("windows/amd64",), "linux/amd64", Fit.UNLISTED),
        (("freebsd/amd64", "linux/386"), "linux/386", Fit.EMULATED),
    ],
)
def test_what_a_processor_runs(listed: tuple[str, ...], platform: str, fit: Fit) -> None:
    """Its own platform, older variants of it, and the 32 bits that its daemon has tried; the rest is emulated."""
    assert Node.of("n", [listed]).fit(platform) == fit


def test_each_worker_has_its_own() -> None:
    """The first that it lists is native, whatever another worker lists."""
    node = Node.of("n", [("linux/arm64",), ("linux/amd64", "linux/arm64")])
    assert node.fit("linux/amd64") == node.fit("linux/arm64") == Fit.OWN
    assert node.own == ("linux/arm64",)


def test_a_platform_is_built_where_it_is_native() -> None:
    """Not where it is emulated, although that node comes first and emulation is allowed."""
    of = nodes(a=QEMU, b=ARM64)
    wanted = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386"]
    for emulate in (False, True):
        assert shared(wanted, of, emulate=emulate) == {
            "a": ("linux/amd64", "linux/386"),
            "b": ("linux/arm64", "linux/arm/v7"),
        }


def test_no_platform_is_the_first_nodes_own() -> None:
    """It alone builds, and is asked for nothing."""
    assert shared([], nodes(a=ARM64, b=AMD64)) == {"a": ()}


def test_equal_nodes_share() -> None:
    """The one with the fewest platforms gets the next; a platform that is asked for twice is built once."""
    assert shared(["linux/386", "linux/amd64/v2", "linux/386"], nodes(a=AMD64, b=AMD64)) == {
        "a": ("linux/386",),
        "b": ("linux/amd64/v2",),
    }


def test_emulation_has_to_be_allowed() -> None:
    """Else the cause says who has what."""
    of = nodes(a=AMD64, b=QEMU)
    with pytest.raises(PlatformUnavailable) as caught:
        share_platforms(["linux/amd64", "linux/arm64"], of, emulate=False)
    assert caught.value.cause == "no node of the builder runs linux/arm64 natively"
    assert caught.value.details.splitlines() == [
        "a runs linux/amd64, linux/amd64/v2, linux/amd64/v3, linux/386",
        "b runs linux/amd64, linux/amd64/v2, linux/386; emulates linux/arm64, linux/riscv64, linux/arm/v7, "
        "linux/arm/v6",
    ]
    allowed = share_platforms(["linux/amd64", "linux/arm64"], of, emulate=True)
    assert [share.shown() for share in allowed] == ["linux/amd64 on a", "linux/arm64 (not native) on b"]


def test_what_nobody_lists_goes_to_the_first() -> None:
    """A Dockerfile that cross-compiles needs nobody who runs it; that has to be allowed as well."""
    of = nodes(a=AMD64, b=ARM64_ONLY)
    with pytest.raises(PlatformUnavailable):
        share_platforms(["linux/s390x"], of, emulate=False)
    assert shared(["linux/s390x"], of, emulate=True) == {"a": ("linux/s390x",)}


def test_a_node_that_lists_nothing_is_taken_for_what_is_asked() -> None:
    """As before, by a daemon that is too old to tell."""
    for nothing in ((), ("", "/")):
        assert shared(["linux/arm64"], [Node.of("a", [nothing])]) == {"a": ("linux/arm64",)}


_PLATFORMS = st.sampled_from(sorted({*map(str, QEMU), *AMD64, "linux/s390x"}))


@given(st.lists(_PLATFORMS), st.lists(st.lists(_PLATFORMS, min_size=1), min_size=1, max_size=4))
def test_every_platform_is_built_once(wanted: list[str], listed: list[list[str]]) -> None:
    """By a node that suits it as well as any."""
    of = [Node.of(str(place), [platforms]) for place, platforms in enumerate(listed)]
    shares = share_platforms(wanted, of, emulate=True)
    if not wanted:
        assert [share.node for share in shares] == of[:1]
        return
    assert sorted(platform for share in shares for platform in share.platforms) == sorted(set(wanted))
    for share in shares:
        for platform in share.platforms:
            best = min(node.fit(platform) for node in of)
            assert share.node.fit(platform) == best
            assert (platform in share.emulated) == (best > Fit.NATIVE)
