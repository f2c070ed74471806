"""Compose files: the images that their services build.

Fields: the Compose specification's build.md and the `x-bake` extension (docs/guides/compose.md in docker/buildx).
Types: schema/compose-spec.json (compose-spec/compose-go). What concerns containers that run (ports, volumes,
depends_on ...) has no part in a build and is passed over.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefect_slipway.flows.bake.definition import Definition
from prefect_slipway.flows.bake.dotenv import read_dotenv
from prefect_slipway.flows.bake.fields import Fields, merge, read_fields, text
from prefect_slipway.flows.bake.merged import Model, as_object, read_model
from prefect_slipway.flows.build_options.attest import attest_text
from prefect_slipway.infra.buildkit.build.contexts import is_image, is_layout, is_remote
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import byte_count

ReadFile = Callable[[str, str], str | None]
"""The text of a file that is named in a Compose file: what it is for, and its path; None if it does not exist."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_YES = frozenset({"true", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_NO = frozenset({"false", "n", "N", "no", "No", "NO", "off", "Off", "OFF"})
# Lists of `x-bake`, each also written as texts with blanks between them.
_EXTENDED = ("tags", "cache-from", "cache-to", "secret", "ssh", "platforms", "output", "no-cache-filter")


def read_compose_files(
    files: Sequence[tuple[str, str]], variables: Mapping[str, str], read_file: ReadFile
) -> Definition:
    """The services to build of all files (name and text each), later files merged over earlier ones; in the group
    `default`. `variables`: for `${…}`. `read_file`: for `env_file`. Raises InvalidOption."""
    model = read_model(files, variables)
    compose = _Compose(", ".join(name for name, _ in files), model, read_file)
    targets = {
        target_name(name): compose.target(name, body)
        for name, body in model.services.items()
        if body.get("build") is not None
    }
    warnings = [f"the variable {name} is not set and defaults to an empty string" for name in sorted(model.unset)]
    return Definition({"default": tuple(targets)}, targets, (*warnings, *compose.warnings))


def target_name(service: str) -> str:
    """A service's name as a target name, in which bake allows no dots."""
    return service.replace(".", "_")


class _Compose:
    """All services, and how they refer to each other."""

    def __init__(self, file: str, model: Model, read_file: ReadFile) -> None:
        self._file = file
        self._model = model
        self._read_file = read_file
        self.warnings: list[str] = []

    def target(self, service: str, body: Mapping[str, Any]) -> Fields:
        where = f"{self._file}: service {service}"
        build = dict(body["build"])
        extension = as_object(f"{where}: x-bake", build.get("x-bake"))
        values: dict[str, Any] = {}
        for key, value in build.items():
            if key.startswith("x-") or value is None:
                continue
            reader = _READERS.get(key)
            if reader is None:
                raise InvalidOption(
                    f"{where}: unknown field build.{key}", action=f"remove it; known fields: {', '.join(_READERS)}"
                )
            values[key.replace("_", "-")] = reader(f"{where}: build.{key}", value)
        if "dockerfile" in values and "dockerfile-inline" in values:
            raise InvalidOption(f"{where} has both dockerfile and dockerfile_inline", action="remove one of them")
        if "args" in values:
            environment = self._environment(where, body)
            values["args"] = {
                name: value if value is not None else environment.get(name, self._model.variables.get(name))
                for name, value in values["args"].items()
            }
        if "secrets" in values:
            values["secret"] = [self._secret(where, item) for item in values.pop("secrets")]
        if values.pop("privileged", False):
            values.setdefault("entitlements", []).append("security.insecure")
        for kind in ("provenance", "sbom"):
            if wanted := values.pop(kind, ""):
                values.setdefault("attest", []).append(attest_text(kind, wanted))
        values.pop("isolation", None)
        values["context"] = values.get("context", ".")
        values["contexts"] = values.pop("additional-contexts", {})
        fields = read_fields(where, {key: value for key, value in values.items() if value != {}}, self.warnings)
        fields = _with_extension(fields, self._extension(f"{where}: x-bake", extension))
        if not fields.get("tags") and body.get("image"):
            fields["tags"] = [_word(f"{where}: image", body["image"])]
        return fields

    def _environment(self, where: str, body: Mapping[str, Any]) -> dict[str, str]:
        """The service's: of its files, and over these what it says itself; without a value the variable's."""
        given = self._model.variables
        said = _pairs(f"{where}: environment", body.get("environment") or {})
        own = {name: value if value is not None else given.get(name) for name, value in said.items()}
        known = {name: value for name, value in own.items() if value is not None}
        found = dict(known)
        for item in body.get("env_file") or []:
            entry = as_object(f"{where}: env_file", {"path": item} if isinstance(item, str) else item)
            path = _word(f"{where}: env_file", entry.get("path"))
            if entry.get("format"):
                raise InvalidOption(f"{where}: env_file {path}: unknown format {entry['format']!r}")
            content = self._read_file(f"{where}: env_file", path)
            if content is not None:
                found |= read_dotenv(path, content, {**found, **known, **given})
            elif _truth(f"{where}: env_file.required", entry.get("required", True)):
                raise InvalidOption(f"{where}: the env_file {path} does not exist", action="check its path")
        return {**found, **known}

    def _secret(self, where: str, item: Any) -> str:
        name = _word(f"{where}: build.secrets", item.get("source") if isinstance(item, dict) else item)
        source = self._model.secrets.get(name)
        if not isinstance(source, dict):
            raise InvalidOption(f"{where}: the secret {name!r} is not defined under `secrets`")
        if isinstance(item, dict) and item.get("target") not in {None, name}:
            # Like bake, while `docker compose build` uses the target as the id.
            self.warnings.append(f"{where}: the build uses the secret's id {name!r}, not its target")
        if source.get("environment"):
            return f"id={name},env={source['environment']}"
        if source.get("file"):
            return f"id={name},src={_clean(str(source['file']))}"
        raise InvalidOption(f"{where}: the secret {name!r} has neither a file nor an environment variable")

    def _extension(self, where: str, values: Mapping[str, Any]) -> Fields:
        known: dict[str, Any] = {}
        for key, value in values.items():
            if value is None:
                continue
            if key in _EXTENDED:
                items = value if isinstance(value, list) else text(f"{where}: {key}", value).split()
                known[key] = [item for item in items if item is not None]
            elif key in {"pull", "no-cache"}:
                known[key] = _truth(f"{where}: {key}", value)
            elif key == "contexts":
                places = as_object(f"{where}: {key}", value)
                known[key] = {name: _context(text(f"{where}: {key}", each)) for name, each in places.items()}
            else:
                self.warnings.append(f"{where}: the field {key!r} is unknown and ignored")
        return read_fields(where, known, self.warnings)


def _with_extension(fields: Fields, extension: Fields) -> Fields:
    """What `x-bake` says is added to lists; a context that the build has already stays."""
    added = {
        key: list(dict.fromkeys([*fields.get(key, []), *value])) for key, value in extension.items() if key in _EXTENDED
    }
    contexts = {**extension.get("contexts", {}), **fields.get("contexts", {})}
    return merge(fields, {**extension, **added, **({"contexts": contexts} if contexts else {})})


def _word(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidOption(f"{where} must be a string", action="put it in quotes")
    return value


def _words(where: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise InvalidOption(f"{where} must be a list")
    return [_word(where, item) for item in value]


def _word_or_words(where: str, value: Any) -> list[str]:
    return [value] if isinstance(value, str) else _words(where, value)


def _pairs(where: str, value: Any) -> dict[str, str | None]:
    pairs = as_object(where, value).items()
    return {name: None if each is None else text(f"{where}.{name}", each) for name, each in pairs}


def _labels(where: str, value: Any) -> dict[str, str]:
    return {name: each or "" for name, each in _pairs(where, value).items()}


def _truth(where: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value not in _YES | _NO:
        raise InvalidOption(f"{where} must be true or false, not {value!r}")
    return value in _YES


def _agents(where: str, value: Any) -> list[str]:
    agents = _pairs(where, value)
    for name, path in agents.items():
        if path is None and name != "default":
            raise InvalidOption(f"{where}: {name!r} has no socket or key", action="write ID=PATH")
    return sorted(f"{name}={_clean(path)}" if path else name for name, path in agents.items())


def _contexts(where: str, value: Any) -> dict[str, str]:
    places = _pairs(where, value)
    for name, place in places.items():
        if place is None:
            raise InvalidOption(f"{where}: {name!r} has no value", action="write NAME=PLACE")
    return {name: _context(place or "") for name, place in places.items()}


def _hosts(where: str, value: Any) -> dict[str, str]:
    """Addresses by name, divided by commas."""
    found: dict[str, list[str]] = {}
    if isinstance(value, list):
        for item in _words(where, value):
            name, mark, rest = item.partition("=" if "=" in item else ":")
            if not mark or not name:
                raise InvalidOption(f"{where}: {item!r} is not HOST:IP")
            found.setdefault(name, []).extend(rest.split(","))
    else:
        for name, places in as_object(where, value).items():
            found[name] = _word_or_words(where, places)
    return {name: ",".join(each.strip("[]") for each in places) for name, places in found.items()}


def _size(where: str, value: Any) -> str:
    """In the unit that fits, as bake prints it."""
    size = float(byte_count(where, text(where, value)))
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.4g}{_UNITS[unit]}" if size else "0"


def _ulimits(where: str, value: Any) -> list[str]:
    found = []
    for name, limit in as_object(where, value).items():
        if isinstance(limit, dict):
            soft, hard = limit.get("soft"), limit.get("hard")
            if soft is None or hard is None:
                raise InvalidOption(f"{where}.{name} needs soft and hard")
            found.append(f"{name}={text(where, soft)}:{text(where, hard)}")
        else:
            found.append(f"{name}={text(where, limit)}:{text(where, limit)}")
    return found


def _short(where: str, value: Any) -> str:
    return text(where, value) if isinstance(value, bool) else _word(where, value)


def _mounts(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(item, str | dict) for item in value):
        raise InvalidOption(f"{where} must be a list of names")
    return value


def _context(place: str) -> str:
    kind, colon, name = place.partition(":")
    return f"target:{target_name(name)}" if colon and kind in {"service", "target"} else _clean(place)


def _clean(path: str) -> str:
    elsewhere = "://" in path or is_image(path) or is_layout(path) or is_remote(path)
    return path if elsewhere else posixpath.normpath(path)


def _place(where: str, value: Any) -> str:
    return _clean(_word(where, value))


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "context": _place,
    "dockerfile": _word,
    "dockerfile_inline": _word,
    "target": _word,
    "args": _pairs,
    "labels": _labels,
    "additional_contexts": _contexts,
    "tags": _words,
    "platforms": _words,
    "cache_from": _words,
    "cache_to": _words,
    "no_cache": _truth,
    "no_cache_filter": _word_or_words,
    "pull": _truth,
    "network": _word,
    "shm_size": _size,
    "ssh": _agents,
    "secrets": _mounts,
    "extra_hosts": _hosts,
    "ulimits": _ulimits,
    "entitlements": _words,
    "privileged": _truth,
    "provenance": _short,
    "sbom": _short,
    "isolation": _word,
}
