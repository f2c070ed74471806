"""`--set TARGET.KEY=VALUE`: fields of targets that replace those of the files, as in bake/bake.go (docker/buildx)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from prefect_slipway.flows.bake.fields import Fields, merge, read_fields
from prefect_slipway.flows.build_options.override import FLAGS, LISTS, MAPS, OUTPUTS, TEXTS, Override
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.near import meant
from prefect_slipway.infra.domain.options import attributes, boolean, csv_line

_ALWAYS_ADDED = frozenset({"annotations", "attest", "entitlements"})

Overrides = Mapping[str, Sequence[Override]]
"""By the target's name."""


def read_overrides(texts: Iterable[str], targets: Collection[str]) -> Overrides:
    """Those of each target. Raises InvalidOption."""
    found: dict[str, list[Override]] = {}
    for override in map(Override.read, texts):
        names = [override.pattern] if override.pattern in targets else matching(override.pattern, targets)
        if not names:
            near = meant(override.pattern, list(targets))
            raise InvalidOption(f"--set {override.text!r}: no target is called {override.pattern!r}{near}")
        for name in names:
            found.setdefault(name, []).append(override)
    return found


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern with `*`, `?` and `[…]` stands for."""
    return [name for name in names if fnmatchcase(name, pattern.replace("[^", "[!"))]


def overridden(fields: Fields, overrides: Sequence[Override]) -> Fields:
    """The fields of a target with these instead. Raises InvalidOption."""
    groups: dict[tuple[str, str], list[Override]] = {}
    for override in overrides:
        groups.setdefault((override.key, override.name), []).append(override)
    # Outputs first: `push` and `load` look at them. A secret is declared before its source is replaced.
    for (key, name), given in sorted(groups.items(), key=lambda item: item[0][0] in {*OUTPUTS, "secret"}):
        last = given[-1]
        where = f"--set {last.text!r}"
        if key in OUTPUTS:
            change = _pushed if key == "push" else _loaded
            fields = {**fields, "output": list(change(fields.get("output", []), boolean(where, last.value)))}
        elif key in FLAGS:
            fields = {**fields, key: boolean(where, last.value)}
        elif key in TEXTS:
            fields = {**fields, **read_fields(where, {key: last.value}, [])}
        elif key in MAPS:
            fields = merge(fields, read_fields(where, {key: {name: last.value}}, []))
        elif key == "secret":
            fields = {**fields, "secret": list(_replaced(where, fields.get("secret", []), name, last.value))}
        else:
            field = LISTS[key]
            new = read_fields(where, {field: [override.value for override in given]}, [])
            if last.added or key in _ALWAYS_ADDED:
                new = {name: list(dict.fromkeys([*fields.get(name, []), *values])) for name, values in new.items()}
            fields = merge({**fields, **new}, {})
    return fields


def _replaced(where: str, secrets: list[str], name: str, value: str) -> Iterator[str]:
    """The secrets with another source for the one of this id."""
    if all(attributes(where, secret).get("id") != name for secret in secrets):
        raise InvalidOption(f"{where}: the target has no secret {name!r}", action="declare it in the file")
    given = attributes(where, value)
    if given.pop("id", name) != name:
        raise InvalidOption(f"{where}: the id is another one than {name!r}", action="remove it")
    for secret in secrets:
        same = attributes(where, secret).get("id") == name
        yield csv_line(f"{key}={text}" for key, text in {"id": name, **given}.items()) if same else secret


def _pushed(outputs: Sequence[str], push: bool) -> Iterator[str]:
    """As `--push` has it: a result that goes elsewhere stays there."""
    kinds = [_kind(output) for output in outputs]
    for output, kind in zip(outputs, kinds, strict=True):
        if kind == "image":
            said = {**attributes("output", output), "push": "true" if push else "false"}
            yield csv_line(f"{key}={value}" for key, value in said.items())
        elif push or kind != "registry":
            yield output
    if push and all(kind == "docker" for kind in kinds):
        yield "type=image,push=true"


def _loaded(outputs: Sequence[str], load: bool) -> Iterator[str]:
    yield from outputs
    kinds = [_kind(output) for output in outputs]
    there = any("dest=" not in output for output, kind in zip(outputs, kinds, strict=True) if kind == "docker")
    if load and not there and all(kind in {"docker", "image", "registry", "oci"} for kind in kinds):
        yield "type=docker"


def _kind(output: str) -> str:
    return attributes("output", output).get("type", "") if output.startswith("type=") or ",type=" in output else ""
