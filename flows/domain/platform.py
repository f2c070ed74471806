"""Platforms as they are named for images: `os/arch[/variant]`, and which of them there are.

Operating systems and architectures: Go's (`go tool dist list`; the OCI image specification takes its values from there,
image-index.md), the names that containerd's platforms package also reads, and those of WebAssembly runtimes. Variants:
image-index.md, "Platform Variants", and Go's GOARM, GOARM64 and GOAMD64.
"""

from __future__ import annotations

import difflib
import re

from flows.domain.errors import InvalidOption

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
# Architectures that are not here have variants that nobody has listed.
_VARIANTS = {
    "amd64": re.compile("v[1-4]"),
    "arm": re.compile("v?[5-8]"),
    "arm64": re.compile(r"v?[89](\.[0-9])?"),
}
# A system may carry its version and features: windows(10.0.17763)/amd64 (containerd platforms 1.0).
_FORM = re.compile(r"(?P<system>[a-z0-9]+)(?:\([^()/,]*\))?/(?P<architecture>[a-z0-9_-]+)(?:/(?P<variant>[a-z0-9.]+))?")


def check_platform(text: str) -> str:
    """Give `text` back if there is such a platform; a lone system or architecture means the builder's own other half.

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


def _advice(text: str) -> str:
    parts = text.split("/")
    system = _nearest(parts[0], _SYSTEMS)
    architecture = _nearest(parts[1], _ARCHITECTURES) if len(parts) > 1 else None
    if system is None or architecture is None:
        return "name it as OS/ARCH[/VARIANT], e.g. linux/amd64 or linux/arm64"
    return f"did you mean {system}/{architecture}?"


def _nearest(text: str, known: frozenset[str]) -> str | None:
    return text if text in known else next(iter(difflib.get_close_matches(text, sorted(known), n=1)), None)
