"""A builder's options as `KEY=VALUE` texts, shared by flags, saved blocks, files and forms.

Each option is a field of BuilderSpec, or of its Resources, Cache or RegistrySettings, whose defaults are the options'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import boolean, pair
from prefect_slipway.infra.kubernetes.builders.spec import (
    BuilderSpec,
    Cache,
    RegistrySettings,
    Resources,
    Toleration,
)


def builder_spec(options: Mapping[str, str], registries: Mapping[str, RegistrySettings]) -> BuilderSpec:
    """`registries`: what is known of them already; options add to it. Raises InvalidOption for an unknown key, and for
    what Kubernetes would refuse."""
    groups: dict[str, dict[str, Any]] = {"spec": {}, "resources": {}, "cache": {}, "registries": {}}
    for key, text in options.items():
        if key not in OPTIONS:
            raise InvalidOption(f"the builder option {key!r} does not exist", action=f"use one of {', '.join(OPTIONS)}")
        option = OPTIONS[key]
        groups[option.group][option.field] = option.kind.read(key, text)
    return BuilderSpec(
        **groups["spec"],
        resources=Resources(**groups["resources"]),
        cache=Cache(**groups["cache"]),
        registries=_with_settings(registries, **groups["registries"]),
    )


def registry_settings(host: str, *, insecure: bool, ca_file: str | None) -> dict[str, RegistrySettings]:
    """What the daemon has to know of the image's registry. Raises InvalidOption when the CA cannot be read."""
    if not insecure and ca_file is None:
        return {}
    ca = _pem("--registry-ca", ca_file) if ca_file is not None else None
    return {host: RegistrySettings(plain_http=insecure, ca=ca)}


def _with_settings(
    registries: Mapping[str, RegistrySettings],
    *,
    mirrors: Mapping[str, tuple[str, ...]] | None = None,
    plain_http: tuple[str, ...] = (),
    ca: Mapping[str, str] | None = None,
) -> dict[str, RegistrySettings]:
    settings = dict(registries)
    for host, hosts in (mirrors or {}).items():
        settings[host] = replace(settings.get(host, RegistrySettings()), mirrors=hosts)
    for host in plain_http:
        settings[host] = replace(settings.get(host, RegistrySettings()), plain_http=True)
    for host, text in (ca or {}).items():
        settings[host] = replace(settings.get(host, RegistrySettings()), ca=text)
    return settings


def _pem(option: str, file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"the CA file {file} cannot be read", action=f"check {option}") from error


def _text(key: str, text: str) -> str:
    return text


def _number(key: str, text: str) -> int:
    if not text.isdecimal():
        raise InvalidOption(f"{key}={text!r} is not a number")
    return int(text)


def _words(key: str, text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _pairs(key: str, text: str) -> dict[str, str]:
    return dict(pair(key, word) for word in _words(key, text) or [text])


def _mirrors(key: str, text: str) -> dict[str, tuple[str, ...]]:
    """A host may come again; its mirrors are asked in that order."""
    found: dict[str, tuple[str, ...]] = {}
    for word in _words(key, text):
        host, mirror = pair(key, word)
        found[host] = (*found.get(host, ()), mirror)
    return found


def _cas(key: str, text: str) -> dict[str, str]:
    """Each a PEM file of this machine."""
    return {host: _pem(f"{key}=…", file) for host, file in _pairs(key, text).items()}


def _tolerations(key: str, text: str) -> tuple[Toleration, ...]:
    """As `kubectl taint` writes taints."""
    found = []
    for word in _words(key, text):
        taint, _, effect = word.partition(":")
        name, equals, value = taint.partition("=")
        if effect not in {"", "NoSchedule", "PreferNoSchedule", "NoExecute"} or not name:
            raise InvalidOption(f"{key}={text!r} is not KEY[=VALUE][:EFFECT],…")
        found.append(Toleration(name, value if equals else None, cast(Any, effect or None)))
    return tuple(found)


class _Kind(NamedTuple):
    """How an option's text becomes its value (`read` raises InvalidOption); `shown`: how it is written, in help."""

    read: Callable[[str, str], Any]
    shown: str = ""


class _Option(NamedTuple):
    group: str
    field: str
    kind: _Kind


def _one_of(*allowed: str) -> _Kind:
    def read(key: str, text: str) -> str:
        if text not in allowed:
            raise InvalidOption(f"{key}={text!r} is not one of {', '.join(allowed)}")
        return text

    return _Kind(read, ", ".join(allowed))


_TEXT, _NUMBER, _FLAG, _NAMES = _Kind(_text), _Kind(_number), _Kind(boolean), _Kind(_words)
_PAIRS = _Kind(_pairs, "KEY=VALUE,…")

OPTIONS = {
    "lifetime": _Option("spec", "lifetime", _one_of("run", "shared")),
    "privileged": _Option("spec", "privileged", _FLAG),
    "image": _Option("spec", "image", _TEXT),
    "pull_policy": _Option("spec", "pull_policy", _one_of("Always", "IfNotPresent", "Never")),
    "pull_secrets": _Option("spec", "pull_secrets", _NAMES),
    "cpu": _Option("resources", "cpu", _TEXT),
    "memory": _Option("resources", "memory", _TEXT),
    "cpu_limit": _Option("resources", "cpu_limit", _TEXT),
    "memory_limit": _Option("resources", "memory_limit", _TEXT),
    "replicas": _Option("spec", "replicas", _NUMBER),
    "node_selector": _Option("spec", "node_selector", _PAIRS),
    "architectures": _Option("spec", "architectures", _Kind(_words, "ARCH,…")),
    "tolerations": _Option("spec", "tolerations", _Kind(_tolerations, "KEY[=VALUE][:EFFECT],…")),
    "service_account": _Option("spec", "service_account", _TEXT),
    "annotations": _Option("spec", "annotations", _PAIRS),
    "cache_size": _Option("cache", "size", _TEXT),
    "cache_persistent": _Option("cache", "persistent", _FLAG),
    "storage_class": _Option("cache", "storage_class", _TEXT),
    "gc_limit": _Option("spec", "gc_limit", _TEXT),
    "mirrors": _Option("registries", "mirrors", _Kind(_mirrors, "HOST=MIRROR,…")),
    "plain_http": _Option("registries", "plain_http", _Kind(_words, "HOST,…")),
    "registry_ca": _Option("registries", "ca", _Kind(_cas, "HOST=FILE,…")),
    "proxy": _Option("spec", "proxy", _TEXT),
    "no_proxy": _Option("spec", "no_proxy", _Kind(_words, "HOST,…")),
    "idle_s": _Option("spec", "idle_s", _NUMBER),
    "ready_s": _Option("spec", "ready_s", _NUMBER),
    "scheduling_patience_s": _Option("spec", "scheduling_patience_s", _NUMBER),
    "name": _Option("spec", "name", _TEXT),
}
"""All of them, in the order in which help shows them."""

OPTIONS_HELP = ", ".join(
    key + (f" ({option.kind.shown})" if option.kind.shown else "") for key, option in OPTIONS.items()
)
"""The list that help and forms show."""
