"""Platforms as people write them: `linux/amd64`, `arm64`, `linux/arm/v7`, `local`.

Grammar and normal forms: github.com/containerd/platforms (`Parse`, `Normalize`, `database.go`).
"""

from __future__ import annotations

import platform
import re

from flows.domain.errors import InvalidOption

_OS = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?")
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_SYSTEM = re.compile(
    "aix|android|darwin|dragonfly|freebsd|hurd|illumos|ios|js|linux|nacl|netbsd|openbsd|plan9|solaris|windows|zos"
)
_ARCHITECTURE = re.compile(
    "386|amd64|amd64p32|arm|armbe|arm64|arm64be|ppc64|ppc64le|loong64|mips|mipsle|mips64|mips64le|mips64p32|"
    "mips64p32le|ppc|riscv|riscv64|s390|s390x|sparc|sparc64|wasm"
)
_OTHER_NAMES = {"i386": "386", "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
_ARM64 = {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"}


def this_machine() -> str:
    """The platform of this machine."""
    return normal_platform(f"linux/{platform.machine()}")


def normal_platform(text: str) -> str:
    """`OS/ARCH[/VARIANT]` in the form that images have it: `x86_64` is `linux/amd64`. Raises InvalidOption."""
    if text.lower() == "local":
        return this_machine()
    parts = text.split("/")
    system = _OS.fullmatch(parts[0])
    if system is None or len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts[1:]):
        raise InvalidOption(f"{text!r} is not a platform", action="write OS/ARCH, e.g. linux/arm64")
    name = {"macos": "darwin"}.get(system[1].lower(), system[1].lower())
    options = parts[0][len(system[1]) :]
    if len(parts) > 1:
        return "/".join([name + options, *_architecture(*parts[1:])])
    if _SYSTEM.fullmatch(name):
        return "/".join([name + options, *this_machine().split("/")[1:]])
    architecture = _architecture(text)
    if _ARCHITECTURE.fullmatch(architecture[0]):
        return "/".join(["linux", *architecture])
    raise InvalidOption(f"{text!r} is no operating system or architecture", action="write OS/ARCH, e.g. linux/arm64")


def _architecture(name: str, variant: str = "") -> list[str]:
    """Architecture and variant, without a variant that goes without saying."""
    name, variant = name.lower(), "" if name.lower() == "i386" else variant.lower()
    name = _OTHER_NAMES.get(name, name)
    match name:
        case "amd64":
            variant = "" if variant == "v1" else variant
        case "arm64":
            variant = _ARM64.get(variant, variant)
        case "armhf" | "armel":
            name, variant = "arm", "v7" if name == "armhf" else "v6"
        case "arm":
            variant = f"v{variant or 7}" if variant in {"", "5", "6", "7", "8"} else variant
    return [name, variant] if variant else [name]
