"""Platforms, in the form that images have them (as containerd's platforms package brings them there)."""

from __future__ import annotations

import platform

import pytest

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.platform import check_platform, normal_platform, this_machine


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/X86_64", "linux/amd64"),
        ("x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("arm64", "linux/arm64"),
        ("linux/aarch64/v8", "linux/arm64"),
        ("linux/arm64/9", "linux/arm64/v9"),
        ("arm", "linux/arm/v7"),
        ("armhf", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("linux/arm/6", "linux/arm/v6"),
        ("i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
        ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
        ("linux/unheard", "linux/unheard"),
    ],
)
def test_one_form(text: str, normal: str) -> None:
    """Whatever name it goes by."""
    assert normal_platform(text) == normal


def test_this_machine() -> None:
    """`local`, in whatever case, and a system without an architecture."""
    assert this_machine().startswith("linux/")
    assert normal_platform("local") == normal_platform("LOCAL") == normal_platform("linux") == this_machine()
    assert this_machine() == normal_platform(f"linux/{platform.machine()}")


@pytest.mark.parametrize("text", ["", "beos", "linux/*", "a/b/c/d", "linux/", "/amd64", "linux amd64"])
def test_no_platforms(text: str) -> None:
    """What neither names a system nor an architecture, nor has their form."""
    with pytest.raises(InvalidOption):
        normal_platform(text)


@pytest.mark.parametrize(
    "text",
    [
        *("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm64/v8", "linux/amd64/v3", "linux/riscv64/rva23u64"),
        *("linux/s390x", "linux/ppc64le", "linux/loong64", "linux/386", "windows/amd64", "freebsd/arm64"),
        *("windows(10.0.17763)/amd64", "wasi/wasm", "wasip1/wasm", "Linux/AMD64", "linux/x86_64", "linux/aarch64"),
        *("arm64", "linux", "amd64"),
    ],
)
def test_platforms_that_there_are(text: str) -> None:
    """Named as Go, the image specification and containerd name them, they are taken as they are."""
    assert check_platform(text) == text


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("linux/arm65", "linux/arm64"),
        ("linx/amd64", "linux/amd64"),
        ("linux/amd46", "linux/amd64"),
        ("linux/arm64/v3", "linux/arm64"),
        ("linux/arm/v9", "linux/arm"),
        ("linux/amd64/v5", "linux/amd64"),
        ("linux/riscv", "linux/riscv64"),
        ("amd", "OS/ARCH"),
        ("", "OS/ARCH"),
        ("linux/", "OS/ARCH"),
        ("linux/amd64/v2/x", "linux/amd64"),
        ("linux\n/amd64", "linux/amd64"),
    ],
)
def test_platforms_that_there_are_not(text: str, advice: str) -> None:
    """Refused by name, with the nearest that there is."""
    with pytest.raises(InvalidOption) as caught:
        check_platform(text)
    assert repr(text) in caught.value.cause
    assert advice in str(caught.value.action)
