"""Options with one value: arguments, labels, hosts, limits, platforms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import boolean, byte_count, csv_fields, pair
from prefect_slipway.infra.domain.platform import normal_platform

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.session.source_policy import SourceCheck
    from prefect_slipway.infra.domain.source_policy import SourcePolicy

HOST_GATEWAY = "host-gateway"
EPOCH = "SOURCE_DATE_EPOCH"

# units.ParseUlimit (docker/go-units).
_ULIMIT_NAMES = (
    "core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack"
)
_ULIMIT = re.compile(r"(-?[0-9]{1,19})(?::(-?[0-9]{1,19}))?")
# Names as `docker run` has them, and the frontend's (build/utils.go in docker/buildx).
_RESOURCES = {
    "memory": "memory",
    "memory-swap": "memswap",
    "cpu-shares": "cpushares",
    "cpu-period": "cpuperiod",
    "cpu-quota": "cpuquota",
    "cpuset-cpus": "cpusetcpus",
    "cpuset-mems": "cpusetmems",
}
# util/entitlements (moby/buildkit); a device may be named.
_ENTITLEMENTS = frozenset({"network.host", "security.insecure", "device"})
DELETE_LOCAL = "buildx.local.delete"
"""What allows an output with `mode=delete` to clear a folder outside of the working directory."""


def build_args(texts: Iterable[str], env: Mapping[str, str]) -> dict[str, str]:
    """`KEY=VALUE`, or `KEY` alone for the environment's value, if it has one."""
    found = {}
    for text in texts:
        key, equals, value = _named("--build-arg", text)
        if equals or key in env:
            found[key] = value if equals else env[key]
    return found


def with_proxies(args: Mapping[str, str], proxies: Mapping[str, str]) -> dict[str, str]:
    """Build arguments with docker's configured proxies; given arguments take precedence, regardless of case."""
    given = {name.lower() for name in args}
    return {**{name: value for name, value in proxies.items() if name.lower() not in given}, **args}


def labels(texts: Iterable[str]) -> dict[str, str]:
    """`KEY=VALUE`, or `KEY` alone for an empty label."""
    return {key: value for key, _, value in (_named("--label", text) for text in texts)}


def platforms(texts: Iterable[str]) -> tuple[str, ...]:
    """`OS/ARCH[,…]` each, in the form that images have it; `local` is this machine's."""
    return tuple(normal_platform(part) for text in texts for part in text.split(","))


def network(what: str, text: str) -> Literal["default", "host", "none"] | None:
    """A network mode; "" for the default."""
    if text not in {"", "default", "host", "none"}:
        raise InvalidOption(f"{what}: there is no network mode {text!r}", action="use default, host or none")
    return cast(Literal["default", "host", "none"] | None, text or None)


def entitlements(texts: Iterable[str]) -> tuple[str, ...]:
    """`network.host`, `security.insecure`, `device[=NAME]`, and `buildx.local.delete`."""
    found = []
    for text in texts:
        name = text.partition("=")[0] if text.startswith("device") else text
        if text and name not in _ENTITLEMENTS | {DELETE_LOCAL}:
            raise InvalidOption(
                f"--allow: there is no entitlement {text!r}",
                action=f"use network.host, security.insecure, device or {DELETE_LOCAL}",
            )
        found += [text] if text else []
    return tuple(found)


def hosts(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """`HOST:IP` or `HOST=IP`, several divided by commas; one name may have several addresses."""
    return tuple(
        each
        for text in texts
        if text
        for entry in csv_fields("--add-host", text)
        for each in host(f"--add-host {entry!r}", entry)
    )


def host(what: str, text: str) -> list[tuple[str, str]]:
    """One name, and its addresses divided by commas: IPv6 in brackets or without, or `host-gateway`."""
    name, equals, rest = text.partition("=")
    if not equals:
        name, equals, rest = text.partition(":")
    if not equals or not name:
        raise InvalidOption(f"{what} is not HOST:IP")
    return [(name, _address(what, each)) for each in ([rest] if rest == HOST_GATEWAY else rest.split(","))]


def _address(what: str, text: str) -> str:
    # Imported late, so that `slipway build` starts fast.
    import ipaddress

    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if bare == HOST_GATEWAY:
        return bare
    try:
        if "%" in bare:
            raise ValueError
        ipaddress.ip_address(bare)
    except ValueError:
        raise InvalidOption(f"{what}: {text!r} is not an IP address", action="write one, or host-gateway") from None
    return bare


def ulimits(what: str, texts: Iterable[str]) -> tuple[str, ...]:
    """`NAME=SOFT[:HARD]`; if a name appears twice, the last one counts. -1 is unlimited."""
    found = {}
    for text in texts:
        name, _, limits = text.partition("=")
        match = _ULIMIT.fullmatch(limits)
        if name not in _ULIMIT_NAMES.split(", ") or match is None:
            raise InvalidOption(f"{what} {text!r} is not NAME=SOFT[:HARD]", action=f"names are {_ULIMIT_NAMES}")
        soft, hard = int(match[1]), int(match[2] or match[1])
        if hard != -1 and not -1 < soft <= hard:
            raise InvalidOption(f"{what} {text!r}: the soft limit is higher than the hard one")
        found[name] = f"{name}={soft}:{hard}"
    return tuple(found[name] for name in sorted(found))


def resources(texts: Iterable[str]) -> dict[str, str]:
    """`memory=2g`, `cpu-quota=50000` and so on, as attributes of the frontend; daemons before v0.31 ignore them."""
    found = {}
    for text in texts:
        name, value = (part.strip() for part in pair("--resource", text))
        if name not in _RESOURCES:
            raise InvalidOption(f"--resource: there is no {name!r}", action=f"use {', '.join(_RESOURCES)}")
        if name.startswith("memory") and value != "-1":
            value = str(byte_count(f"--resource {name}", value))
        elif name in {"cpu-shares", "cpu-period", "cpu-quota"} and not re.fullmatch(r"[+-]?[0-9]+", value):
            raise InvalidOption(f"--resource {name}: {value!r} is not a number")
        # 0 is the default and is not sent.
        if value not in {"", "0"}:
            found[_RESOURCES[name]] = value
    return found


def call(text: str) -> tuple[str, str, bool] | None:
    """`METHOD[,format=json][,ignorestatus=true]`: method (`check` is the frontend's `lint`), format, whether the status
    is ignored; None for `build`."""
    method, form, ignore = "", "", False
    for field in csv_fields("--call", text) if text else ["build"]:
        key, equals, value = field.partition("=")
        if not equals and not method:
            method = field
        elif key == "format" and equals:
            form = value
        elif key == "ignorestatus" and equals:
            ignore = boolean("--call: ignorestatus", value)
        else:
            raise InvalidOption(f"--call {text!r} is not METHOD[,format=json][,ignorestatus=true]")
    return None if method == "build" else ("lint" if method == "check" else method, form, ignore)


def image_annotations(texts: Sequence[str], option: str = "--annotation") -> dict[str, str]:
    """`[LEVEL[PLATFORM],…:]KEY=VALUE`: by `LEVEL[PLATFORM]:KEY`, a key of its own for each level."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if text and not equals:
            raise InvalidOption(f"{option} {text!r} is not KEY=VALUE")
        levels, colon, key = name.partition(":")
        for level in levels.split(",") if colon else [""]:
            if text:
                found[f"{_level(option, level)}{key}" if colon else name] = value
    return found


def _level(option: str, text: str) -> str:
    match = re.fullmatch(r"(index|manifest)(-descriptor)?(?:\[([A-Za-z0-9_/-]+)\])?", text)
    if match is None:
        raise InvalidOption(
            f"{option}: there is no level {text!r}",
            action="use index, index-descriptor, manifest or manifest-descriptor, with [PLATFORM] if needed",
        )
    # An index is of all platforms.
    platform = f"[{normal_platform(match[3])}]" if match[3] and match[1] == "manifest" else ""
    return f"{match[1]}{match[2] or ''}{platform}:"


def _named(option: str, text: str) -> tuple[str, str, str]:
    key, equals, value = text.partition("=")
    if not key:
        raise InvalidOption(f"{option} {text!r} has no name", action="write KEY=VALUE")
    return key, equals, value


def text_of_file(option: str, name: str) -> str:
    """The text of a file that an option names. Raises InvalidOption."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidOption(f"{option}: {name!r} cannot be read: {reason}", action="check the file's name") from error


def source_check(policy: SourcePolicy | None) -> SourceCheck | None:
    """What asks a policy in Rego, None for any other. Raises PartMissing, PolicyInvalid."""
    if policy is None or not policy.is_rego:
        return None
    from prefect_slipway.flows.build_options import source_rego

    return source_rego.source_check(policy)
