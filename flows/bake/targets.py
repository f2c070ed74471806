"""From definitions to targets that can be built: expand groups, apply inheritance, find an order.

Semantics: `ResolveGroup`, `ResolveTarget` and `loadLinks` in bake/bake.go (docker/buildx).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import NamedTuple

from prefect_slipway.flows.bake.bounds import MOST_LEVELS, check_values, too_deep
from prefect_slipway.flows.bake.definition import Definition
from prefect_slipway.flows.bake.fields import Fields, merge
from prefect_slipway.flows.bake.overrides import Overrides, matching, overridden, read_overrides
from prefect_slipway.flows.build_options import values
from prefect_slipway.infra.buildkit.build.contexts import is_image, is_layout, is_remote
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import byte_count
from prefect_slipway.infra.domain.urls import check_texts

_LINK = "target:"
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Target(NamedTuple):
    """One image to build. Fields as bake's of the same names; places are as they are written in the file.

    `bases`: the targets that its contexts are, by the context's name; these are not in `contexts`.
    """

    name: str
    description: str = ""
    context: str = "."
    contexts: Mapping[str, str] = _NOTHING
    bases: Mapping[str, str] = _NOTHING
    dockerfile: str = "Dockerfile"
    dockerfile_inline: str | None = None
    target: str = ""
    args: Mapping[str, str] = _NOTHING
    labels: Mapping[str, str] = _NOTHING
    annotations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    attest: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    pull: bool = False
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    network: str = ""
    shm_size: str = ""
    ulimits: tuple[str, ...] = ()
    resources: Mapping[str, str] = _NOTHING
    extra_hosts: Mapping[str, str] = _NOTHING
    entitlements: tuple[str, ...] = ()


class TargetSet(NamedTuple):
    """`targets`: all that are built, each after its bases. `wanted`: those that were requested; the others are built
    because these are based on them. `groups`: the groups that led to them, with their members; `default` has what was
    requested as well."""

    targets: Mapping[str, Target]
    wanted: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def choose(definition: Definition, names: Sequence[str], overrides: Sequence[str] = ()) -> TargetSet:
    """The targets selected by `names` of targets and groups (`default` without any), or by patterns, and their bases.

    A service's name may have its dots. `overrides`: `TARGET.KEY=VALUE` each. Raises InvalidOption for unknown names,
    circles, and a base for other platforms.
    """
    asked = [name for text in names for name in _named(definition, text.replace(".", "_"))] or ["default"]
    seen: set[str] = set()
    wanted = tuple(dict.fromkeys(name for each in asked for name in _members(definition, each, (), seen)))
    if not wanted:
        raise InvalidOption("there is nothing to build: the group has no targets")
    found: dict[str, Target] = {}
    inheritance = _Inheritance(definition, read_overrides(overrides, definition.targets))
    waiting = list(wanted)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            fields = inheritance.fields(name)
            # Of what only others are based on, nothing comes out.
            found[name] = _target(name, fields if name in wanted else {**fields, "output": []})
            waiting += found[name].bases.values()
    for target in found.values():
        _check_values(target)
        for base in target.bases.values():
            _check_platforms(target, found[base])
    groups = {name: tuple(dict.fromkeys(definition.groups[name])) for name in seen}
    requested = {name for name in asked if name != "default" or name not in groups}
    groups["default"] = tuple(sorted({*groups.get("default", ()), *requested}))
    return TargetSet({name: found[name] for name in _in_order(found)}, wanted, definition.warnings, groups)


def _named(definition: Definition, text: str) -> list[str]:
    """A name, or those that a pattern stands for. Raises InvalidOption."""
    if not set(text) & set("*?["):
        return [text]
    if names := matching(text, dict.fromkeys((*definition.groups, *definition.targets))):
        return names
    raise _unknown(definition, text)


def _members(definition: Definition, name: str, within: tuple[str, ...], seen: set[str]) -> Iterator[str]:
    """The targets of a group, or the target. `seen`: groups whose targets were given before."""
    if name in within:
        raise InvalidOption(f"the group {name} contains itself")
    if name not in definition.groups:
        if name not in definition.targets:
            raise _unknown(definition, name)
        yield name
        return
    if name in seen:
        return
    if len(within) > MOST_LEVELS:
        raise too_deep(f"the group {name}")
    for member in definition.groups[name]:
        if member == name and name in definition.targets:
            yield name
        else:
            yield from _members(definition, member, (*within, name), seen)
    seen.add(name)


class _Inheritance:
    """The fields of targets with what they inherit, each worked out once."""

    def __init__(self, definition: Definition, overrides: Overrides) -> None:
        self._definition = definition
        self._overrides = overrides
        self._known: dict[str, Fields] = {}
        self._values = 0

    def fields(self, name: str, heirs: tuple[str, ...] = ()) -> Fields:
        """`heirs`: the targets that inherit from it. Raises InvalidOption."""
        if name in self._known:
            return self._known[name]
        if name in heirs:
            raise InvalidOption(f"the target {name} inherits from itself ({' <- '.join((*heirs, name))})")
        if name not in self._definition.targets:
            raise _unknown(self._definition, name)
        if len(heirs) > MOST_LEVELS:
            raise too_deep(f"the target {name}")
        own = self._definition.targets[name]
        below: Fields = {}
        for parent in own.get("inherits", []):
            below = merge(below, self.fields(parent, (*heirs, name)))
        fields = self._known[name] = overridden(merge(below, own), self._overrides.get(name, ()))
        self._values += sum(len(value) if isinstance(value, list | dict) else 1 for value in fields.values())
        check_values(f"the target {name}", self._values)
        return fields


def _target(name: str, fields: Fields) -> Target:
    # The daemon records the request and names its steps after it.
    check_texts(f"target {name}", {key: value for key, value in fields.items() if key != "dockerfile-inline"})
    contexts = fields.get("contexts", {})
    names = {"secret": "secrets", "output": "outputs"}
    found = {names.get(key, key.replace("-", "_")): value for key, value in fields.items() if key != "inherits"}
    for key, value in found.items():
        if isinstance(value, list):
            found[key] = tuple(value)
    found["contexts"] = {key: place for key, place in contexts.items() if place and not place.startswith(_LINK)}
    found["bases"] = {key: place.removeprefix(_LINK) for key, place in contexts.items() if place.startswith(_LINK)}
    found["context"] = _context(found.get("context") or ".")
    found["dockerfile"] = found.get("dockerfile") or "Dockerfile"
    return Target(name, **found)


def _context(place: str) -> str:
    """A directory by its shortest name."""
    if is_image(place) or is_layout(place) or is_remote(place) or place.startswith(_LINK):
        return place
    return posixpath.normpath(place.removeprefix("cwd://"))


def _check_values(target: Target) -> None:
    """Check in advance what is read during the build. Raises InvalidOption."""
    what = f"target {target.name}"
    values.platforms(target.platforms)
    values.image_annotations(target.annotations, f"{what}: annotations")
    values.ulimits(f"{what}: ulimits", target.ulimits)
    values.resources(f"{name}={value}" for name, value in target.resources.items())
    values.network(what, target.network)
    byte_count(f"{what}: shm-size", target.shm_size or "0")
    for name, place in target.extra_hosts.items():
        values.host(f"{what}: extra-hosts {name}", f"{name}={place}")


def _check_platforms(target: Target, base: Target) -> None:
    if len(target.platforms) > 1 and len(base.platforms) > 1 and not set(target.platforms) <= set(base.platforms):
        raise InvalidOption(
            f"the target {target.name} is for {', '.join(target.platforms)}, but its base {base.name} is for "
            f"{', '.join(base.platforms)}",
            action="use the same platforms for both",
        )


def _in_order(targets: Mapping[str, Target]) -> list[str]:
    try:
        return list(TopologicalSorter({n: list(t.bases.values()) for n, t in targets.items()}).static_order())
    except CycleError as error:
        raise InvalidOption(f"the targets depend on each other in a circle: {' -> '.join(error.args[1])}") from None


def _unknown(definition: Definition, name: str) -> InvalidOption:
    known = sorted({*definition.groups, *definition.targets})
    return InvalidOption(
        f"there is no target or group {name!r}", action=f"known are {', '.join(known)}" if known else "check the file"
    )
