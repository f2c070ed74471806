"""Compose files as one model: documents merged, `${…}` replaced, `extends` resolved.

Order and rules: `loadYamlFile` in loader/loader.go, override/merge.go, loader/reset.go (compose-spec/compose-go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect_slipway.flows.bake.bounds import MOST_LEVELS, check_values, too_deep
from prefect_slipway.flows.bake.interpolation import interpolate
from prefect_slipway.flows.bake.yaml12 import Override, Reset, read_yaml
from prefect_slipway.infra.domain.errors import InvalidOption

Object = dict[str, Any]

PROJECT = "COMPOSE_PROJECT_NAME"
# The fields of a service that a build uses.
_WANTED = {"image", "build", "environment", "env_file", "extends"}
# Written as a map or as a list of `KEY=VALUE`.
_MAPS = {"args", "labels", "additional_contexts", "environment", "ssh"}


@dataclass
class Model:
    """`services` and `secrets` by name; what has two forms has one: `build` is a map, and so are `args` and the like,
    whose values may be None. `variables`: the given ones, and the project's name. `unset`: variables that are used
    but have no value."""

    services: dict[str, Object] = field(default_factory=dict)
    secrets: Object = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    unset: set[str] = field(default_factory=set)


def read_model(files: Sequence[tuple[str, str]], variables: Mapping[str, str]) -> Model:
    """All files (name and text each), later ones merged over earlier ones. `variables`: for `${…}`. Raises
    InvalidOption."""
    documents = [(name, document) for name, text in files for document in _documents(name, text)]
    given = {**variables, PROJECT: _project(documents, variables)}
    model = Model(variables=given)
    for name, document in documents:
        _lay_over(model, name, document)
    return model


def _documents(name: str, text: str) -> list[Object]:
    read = read_yaml(name, text)
    if not read or None in read:
        raise InvalidOption(f"{name} is empty or contains an empty document")
    found = [as_object(name, document) for document in read]
    for document in found:
        if document.get("include"):
            raise InvalidOption(
                f"{name} uses `include`, which is not supported",
                action="pass all files, or merge them with `docker compose config`",
            )
    return found


def _project(documents: Sequence[tuple[str, Object]], variables: Mapping[str, str]) -> str:
    """The last document's that has a name, else the variable's, else bake's own."""
    named = [str(document["name"]) for _, document in documents if document.get("name")]
    name = str(interpolate("name", named[-1], variables.get, set())) if named else ""
    return name or variables.get(PROJECT) or "bake"


def _lay_over(model: Model, name: str, document: Object) -> None:
    services: dict[str, Object] = {}
    resets: list[tuple[str, ...]] = []
    for service, body in as_object(f"{name}: services", document.get("services")).items():
        where = f"{name}: service {service}"
        if isinstance(body, Reset | Override):
            resets.append(("services", service))
            body = body.value if isinstance(body, Override) else None
            if body is None:
                continue
        known = as_object(where, body)
        # Fields that no build uses are checked as well, because a mistake in them is a mistake in the file.
        interpolate(where, _plain(known, (), []), model.variables.get, set())
        wanted = {key: value for key, value in known.items() if key in _WANTED}
        found: list[tuple[str, ...]] = []
        body = interpolate(where, _plain(wanted, (), found), model.variables.get, model.unset)
        resets += [("services", service, *path) for path in found]
        services[service] = _normal(where, body)
    secrets = _plain(as_object(f"{name}: secrets", document.get("secrets")), ("secrets",), resets)
    secrets = interpolate(f"{name}: secrets", secrets, model.variables.get, model.unset)
    for path in resets:
        _take_away({"services": model.services, "secrets": model.secrets}, path)
    values = 0
    for service in list(services):
        services[service] = _extended(name, services, service, resets, ())
        values += _count(services[service])
        check_values(f"{name}: services that others extend", values)
    model.services = merged(f"{name}: services", model.services, services)
    model.secrets = merged(f"{name}: secrets", model.secrets, secrets)


def _extended(
    name: str, services: dict[str, Object], service: str, resets: list[tuple[str, ...]], heirs: tuple[str, ...]
) -> Object:
    """A service with what it extends, of the same document, below it."""
    if service in heirs or service not in services:
        raise InvalidOption(
            f"{name}: `extends` refers to {service!r}, "
            + ("which extends it" if service in heirs else "which is not a service in this file")
        )
    if len(heirs) > MOST_LEVELS:
        raise too_deep(f"{name}: service {service}")
    body = dict(services[service])
    extends = body.pop("extends", None)
    if extends is None:
        return body
    if isinstance(extends, dict):
        if extends.get("file"):
            raise InvalidOption(
                f"{name}: service {service} extends a service in another file, which is not supported",
                action="pass both files, or merge them with `docker compose config`",
            )
        extends = extends.get("service")
    base = _copy(_extended(name, services, str(extends), resets, (*heirs, service)))
    for path in resets:
        if path[:2] == ("services", service):
            _take_away({"services": {service: base}}, path)
    return merged(f"{name}: service {service}", base, body)


def merged(where: str, below: Object, above: Object) -> Object:
    """Compose's merge: maps by key, lists joined, everything else replaced; null counts as missing."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if key not in result or (old is None and value is not None):
            result[key] = value
        elif value is None and not isinstance(old, dict):
            continue
        elif isinstance(old, dict) and isinstance(value, dict):
            inner = merged(f"{where}.{key}", old, value)
            # In arguments and the like, a name without a value removes an earlier value.
            result[key] = {**inner, **{k: v for k, v in value.items() if v is None}} if key in _MAPS else inner
        elif isinstance(old, dict | list) and value is not None:
            if not (isinstance(old, list) and isinstance(value, list)):
                raise InvalidOption(f"{where}.{key} is {_kind(value)}, but {_kind(old)} in the file that it overrides")
            result[key] = [*old, *value]
        elif value is not None:
            result[key] = value
    return result


def _normal(where: str, body: Object) -> Object:
    """One form for what has two."""
    if isinstance(body.get("build"), str):
        body["build"] = {"context": body["build"]}
    if body.get("build") is not None:
        body["build"] = _maps(where, as_object(f"{where}: build", body["build"]))
    if isinstance(body.get("env_file"), str):
        body["env_file"] = [body["env_file"]]
    return _maps(where, body)


def _maps(where: str, body: Object) -> Object:
    return {key: _pairs(f"{where}: {key}", value) if key in _MAPS else value for key, value in body.items()}


def _pairs(where: str, value: Any) -> Object:
    if not isinstance(value, list):
        return as_object(where, value)
    pairs: Object = {}
    for item in value:
        if not isinstance(item, str):
            raise InvalidOption(f"{where} must be a list of strings, not of {_kind(item)}")
        name, equals, rest = item.partition("=")
        pairs[name] = rest if equals else None
    return pairs


def _plain(value: Any, path: tuple[str, ...], resets: list[tuple[str, ...]]) -> Any:
    """`value` without `!reset` and `!override`, whose places are added to `resets`."""
    if isinstance(value, dict):
        found = {}
        for key, item in value.items():
            if isinstance(item, Reset | Override):
                resets.append((*path, key))
            if not isinstance(item, Reset):
                inner = item.value if isinstance(item, Override) else item
                found[key] = _plain(inner, (*path, key), resets)
        return found
    if isinstance(value, list):
        items = (item.value if isinstance(item, Override) else item for item in value if not isinstance(item, Reset))
        return [_plain(item, (*path, "[]"), []) for item in items]
    return value


def _take_away(model: Object, path: tuple[str, ...]) -> None:
    for key in path[:-1]:
        model = model.get(key) if isinstance(model, dict) else None  # type: ignore[assignment]
    if isinstance(model, dict):
        model.pop(path[-1], None)


def _count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inner))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def as_object(where: str, value: Any) -> Object:
    """A map; null is an empty one. Raises InvalidOption."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidOption(f"{where} must be a map, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    kinds = {dict: "a map", list: "a list", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return kinds.get(type(value), "nothing")
