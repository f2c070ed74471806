"""Compose files: what their services say of images to build.

Fields: the Compose specification's build.md and the `x-bake` extension (docs/guides/compose.md in docker/buildx). What
concerns containers that run (ports, volumes, depends_on ...) has no part in a build and is passed over.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from flows.bake.bounds import MOST_LEVELS, check_document, load_yaml, too_deep
from flows.bake.definition import Definition
from flows.bake.fields import Fields, flag, merge, read_fields, text
from flows.bake.interpolation import interpolate
from flows.domain.errors import InvalidOption

_MAPS = {"args", "labels", "additional_contexts", "extra_hosts", "environment"}
# Fields of the two formats that mean the same.
_SAME = {
    "dockerfile": "dockerfile",
    "dockerfile_inline": "dockerfile-inline",
    "target": "target",
    "args": "args",
    "labels": "labels",
    "tags": "tags",
    "platforms": "platforms",
    "cache_from": "cache-from",
    "cache_to": "cache-to",
    "no_cache": "no-cache",
    "pull": "pull",
    "network": "network",
    "shm_size": "shm-size",
    "ssh": "ssh",
    "extra_hosts": "extra-hosts",
    "entitlements": "entitlements",
}
_ELSEWHERE = {"context", "additional_contexts", "secrets", "ulimits", "privileged", "provenance", "sbom"}


def read_compose_files(files: Sequence[tuple[str, str]], variables: Mapping[str, str]) -> Definition:
    """The services to build of all files (name and text each), later files laid over earlier ones; in the group
    `default`. `variables`: for `${…}`. Raises InvalidOption."""
    services: dict[str, Any] = {}
    secrets: dict[str, Any] = {}
    unset: set[str] = set()
    for name, content in files:
        document = _parse(name, content)
        for service, body in _object(f"{name}: services", document.get("services")).items():
            where = f"{name}: service {service}"
            wanted = {key: value for key, value in _object(where, body).items() if key in _SERVICE_FIELDS}
            body = _normal(where, interpolate(where, wanted, variables.get, unset))
            services[service] = _over(services[service], body) if service in services else body
        found = _object(f"{name}: secrets", document.get("secrets"))
        secrets.update(interpolate(f"{name}: secrets", found, variables.get, unset))
    compose = _Compose(", ".join(name for name, _ in files), services, secrets, variables)
    targets = {
        target_name(service): compose.target(service)
        for service in services
        if compose.extended(service).get("build") is not None
    }
    warnings = [f"the variable {name} is not set: it is taken as empty" for name in sorted(unset)]
    return Definition({"default": tuple(targets)}, targets, (*warnings, *compose.warnings))


def target_name(service: str) -> str:
    """A service's name as a target's: bake allows no dots."""
    return service.replace(".", "_")


_SERVICE_FIELDS = {"image", "build", "environment", "extends"}


class _Compose:
    """All services, and how they refer to each other."""

    def __init__(
        self, file: str, services: Mapping[str, Any], secrets: Mapping[str, Any], variables: Mapping[str, str]
    ) -> None:
        self._file = file
        self._services = services
        self._secrets = secrets
        self._variables = variables
        self.warnings: list[str] = []

    def extended(self, service: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
        """A service with what it extends below it."""
        where = f"{self._file}: service {service}"
        if service in seen or service not in self._services:
            raise InvalidOption(f"{self._file}: `extends` leads to {service!r}, " + _nowhere(service in seen))
        if len(seen) > MOST_LEVELS:
            raise too_deep(where)
        body: dict[str, Any] = dict(self._services[service])
        extends = body.pop("extends", None)
        if extends is None:
            return body
        if isinstance(extends, dict):
            if extends.get("file"):
                raise InvalidOption(
                    f"{where} extends one of another file, which is not read",
                    action="name both files, or let `docker compose config` join them",
                )
            extends = extends.get("service")
        return _over(self.extended(str(extends), (*seen, service)), body)

    def target(self, service: str) -> Fields:
        where = f"{self._file}: service {service}"
        body = self.extended(service)
        build = body["build"]
        values: dict[str, Any] = {}
        extensions = build.get("x-bake") or {}
        for key, value in build.items():
            if key in _SAME:
                values[_SAME[key]] = value
            elif key not in _ELSEWHERE and not key.startswith("x-"):
                raise InvalidOption(f"{where}: the field build.{key} is not one that Slipway can act on")
        if "args" in values:
            values["args"] = self._args(build["args"], body.get("environment") or {})
        if isinstance(values.get("ssh"), dict):
            values["ssh"] = [f"{name}={path}" if path else name for name, path in values["ssh"].items()]
        values["context"] = _clean(text(f"{where}: context", build.get("context", ".")))
        values["contexts"] = {name: _context(place) for name, place in build.get("additional_contexts", {}).items()}
        if build.get("secrets"):
            values["secret"] = [self._secret(where, item) for item in build["secrets"]]
        if build.get("ulimits"):
            values["ulimits"] = [_ulimit(where, *item) for item in build["ulimits"].items()]
        if build.get("privileged") and flag(f"{where}: privileged", build["privileged"]):
            values.setdefault("entitlements", []).append("security.insecure")
        for kind in ("provenance", "sbom"):
            if (wanted := build.get(kind)) is not None:
                values.setdefault("attest", []).append(_attest(kind, text(f"{where}: {kind}", wanted)))
        fields = read_fields(where, {key: value for key, value in values.items() if value not in ({}, None)})
        fields = _with_extension(fields, read_fields(f"{where}: x-bake", _object(f"{where}: x-bake", extensions)))
        if not fields.get("tags") and body.get("image"):
            fields["tags"] = [text(f"{where}: image", body["image"])]
        return fields

    def _args(self, args: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
        """An argument without a value has the service's, else that of the variable of its name, else none."""
        found = {}
        for name, value in args.items():
            if value is None:
                value = environment.get(name)
            if value is None:
                value = self._variables.get(name)
            found[name] = value
        return found

    def _secret(self, where: str, item: Any) -> str:
        name = item.get("source") if isinstance(item, dict) else item
        source = self._secrets.get(str(name))
        if not isinstance(source, dict):
            raise InvalidOption(f"{where}: the secret {name!r} is not defined under `secrets`")
        if isinstance(item, dict) and item.get("target") not in {None, name}:
            # As bake has it, while `docker compose build` takes the target for the id.
            self.warnings.append(f"{where}: the secret {name!r} is known to the build by that id, not by its target")
        if source.get("environment"):
            return f"id={name},env={source['environment']}"
        if source.get("file"):
            return f"id={name},src={_clean(str(source['file']))}"
        raise InvalidOption(f"{where}: the secret {name!r} is neither a file nor from the environment")


def _with_extension(fields: Fields, extension: Fields) -> Fields:
    """What `x-bake` says is added to lists of tags and caches, and replaces everything else."""
    added = {
        key: list(dict.fromkeys([*fields[key], *value]))
        for key, value in extension.items()
        if key in {"tags", "cache-from", "cache-to", "no-cache-filter", "secret", "ssh"} and key in fields
    }
    return merge(fields, {**extension, **added})


def _parse(name: str, content: str) -> dict[str, Any]:
    try:
        document = load_yaml(content)
    except RecursionError:
        raise too_deep(name) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise InvalidOption(f"{name}{line}: not YAML that can be read") from error
    check_document(name, document)
    document = _object(name, document)
    if document.get("include"):
        raise InvalidOption(
            f"{name} includes other files, which are not read",
            action="name all files, or let `docker compose config` join them",
        )
    return document


def _normal(where: str, body: dict[str, Any]) -> dict[str, Any]:
    """One form for what has two: `build: DIR`, lists of `KEY=VALUE`."""
    if isinstance(body.get("build"), str):
        body["build"] = {"context": body["build"]}
    if body.get("build") is not None:
        body["build"] = _maps(where, _object(f"{where}: build", body["build"]))
    return _maps(where, body)


def _maps(where: str, body: dict[str, Any]) -> dict[str, Any]:
    return {key: _pairs(f"{where}: {key}", value) if key in _MAPS else value for key, value in body.items()}


def _pairs(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, list):
        return _object(where, value)
    pairs: dict[str, Any] = {}
    for item in value:
        match = re.fullmatch(r"([^=:]+)(?:[=:](.*))?" if "extra_hosts" in where else r"([^=]+)(?:=(.*))?", item, re.S)
        if match is None:
            raise InvalidOption(f"{where}: {item!r} is not KEY=VALUE")
        pairs[match[1]] = match[2]
    return pairs


def _object(where: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidOption(f"{where} is to be a map")
    return value


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Compose's merge: maps by key, lists joined, everything else replaced."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            merged[key] = _over(below[key], value)
        elif isinstance(value, list) and isinstance(below.get(key), list):
            merged[key] = [*below[key], *(item for item in value if item not in below[key])]
        else:
            merged[key] = value
    return merged


def _context(place: Any) -> str:
    kind, _, name = str(place).partition(":")
    return f"target:{target_name(name)}" if kind == "service" and name else _clean(str(place))


def _clean(path: str) -> str:
    return path if "://" in path or path.startswith(("git@", "target:")) else posixpath.normpath(path)


def _ulimit(where: str, name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"{name}={value.get('soft')}:{value.get('hard')}"
    return f"{name}={text(f'{where}: ulimits.{name}', value)}"


def _attest(kind: str, wanted: str) -> str:
    if wanted in {"true", "false"}:
        return f"type={kind}" if wanted == "true" else f"type={kind},disabled=true"
    return f"type={kind},{wanted}"


def _nowhere(cycle: bool) -> str:
    return "which is on the way to it" if cycle else "which is no service"
