"""Platforms of images: `os/arch[/variant]`, and the known ones.

Operating systems and architectures: Go's (`go tool dist list`; the OCI image specification takes its values from there,
image-index.md), the names that containerd's platforms package also reads, and those of WebAssembly runtimes. Variants:
image-index.md, "Platform Variants", and Go's GOARM, GOARM64 and GOAMD64. Grammar and normal forms:
github.com/containerd/platforms (`Parse`, `Normalize`, `database.go`).
"""

from __future__ import annotations

import re

from prefect_slipway.infra.domain.errors import InvalidOption

_SYSTEMS = frozenset(
    {
        *("aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "macos", "netbsd"),
        *("openbsd", "plan9", "solaris", "wasi", "wasip1", "windows"),
    }
)
_ARCHITECTURES = frozenset(
    {
        *("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le"),
        *("riscv64", "s390x", "wasm", "wasm32"),
        *("i386", "x86_64", "x86-64", "aarch64", "armhf", "armel"),  # platforms/database.go, normalizeArch
    }
)
# Architectures that are missing here have no known list of variants.
_VARIANTS = {
    "amd64": re.compile("v[1-4]"),
    "arm": re.compile("v?[5-8]"),
    "arm64": re.compile(r"v?[89](\.[0-9])?"),
}
# A system may carry its version and features: windows(10.0.17763)/amd64 (containerd platforms 1.0).
_FORM = re.compile(r"(?P<system>[a-z0-9]+)(?:\([^()/,]*\))?/(?P<architecture>[a-z0-9_-]+)(?:/(?P<variant>[a-z0-9.]+))?")

_OS = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?")
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_OTHER_NAMES = {"i386": "386", "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
_ARM64 = {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"}


def check_platform(text: str) -> str:
    """Return `text` if the platform exists; a single system or architecture is combined with the builder's other half.

    Raises InvalidOption, with the nearest that there is.
    """
    lower = text.lower()
    if lower in _SYSTEMS | _ARCHITECTURES:
        return text
    match = _FORM.fullmatch(lower)
    if match is not None:
        system, architecture, variant = match["system"], match["architecture"], match["variant"]
        variants = _VARIANTS.get(architecture)
        known = system in _SYSTEMS and architecture in _ARCHITECTURES
        if known and (variant is None or variants is None or variants.fullmatch(variant)):
            return text
    raise InvalidOption(f"there is no platform {text!r}", action=_advice(lower))


def check_architecture(text: str) -> str:
    """Return `text` if it is an architecture by Go's name. Raises InvalidOption, with the nearest that there is."""
    if text not in _ARCHITECTURES or text in _OTHER_NAMES or _architecture(text)[0] != text:
        nearest = _nearest(_OTHER_NAMES.get(text, text), _ARCHITECTURES)
        action = f"did you mean {nearest}?" if nearest is not None else "name it e.g. amd64 or arm64"
        raise InvalidOption(f"there is no architecture {text!r}", action=action)
    return text


def _advice(text: str) -> str:
    parts = text.split("/")
    system = _nearest(parts[0], _SYSTEMS)
    architecture = _nearest(parts[1], _ARCHITECTURES) if len(parts) > 1 else None
    if system is None or architecture is None:
        return "name it as OS/ARCH[/VARIANT], e.g. linux/amd64 or linux/arm64"
    return f"did you mean {system}/{architecture}?"


def _nearest(text: str, known: frozenset[str]) -> str | None:
    # Imported late, as only a typo needs it.
    import difflib

    return text if text in known else next(iter(difflib.get_close_matches(text, sorted(known), n=1)), None)


def this_machine() -> str:
    """The platform of this machine."""
    # Imported late, as few builds name it.
    import platform

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
    if name in _SYSTEMS:
        return "/".join([name + options, *this_machine().split("/")[1:]])
    architecture = _architecture(text)
    if architecture[0] in _ARCHITECTURES:
        return "/".join(["linux", *architecture])
    raise InvalidOption(
        f"{text!r} is not an operating system or architecture", action="write OS/ARCH, e.g. linux/arm64"
    )


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
