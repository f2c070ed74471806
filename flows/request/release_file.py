"""`slipway.toml`: what a source says about its own release, in the request's words, and how much of that counts.

Whoever can push to a source can change the file. So it may choose how the source is built and versioned (FREE);
everything else, where an image goes, whose credentials are used, who signs, needs the permission of whoever runs the
release (`Config.allow`). A field that is new is not free until it is listed here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import escape
from typing import Any

from pydantic import ValidationError

from prefect_slipway.flows.request.component import Component
from prefect_slipway.flows.request.model import Request
from prefect_slipway.flows.request.release import OF_ONE_IMAGE, ReleaseRequest
from prefect_slipway.flows.request.wrong import wrong
from prefect_slipway.infra.domain.errors import ReleaseFileInvalid, ReleaseFileRefused, UsageError
from prefect_slipway.infra.domain.near import meant

MAX_BYTES = 256 * 1024

NOT_IN_FILE = frozenset({"source", "checkout", "config", "credentials.vault", "components", "version.paths"})
"""What is decided before the file is read; components have tables of their own."""

WORKSPACES = ("npm", "uv", "cargo", "go")

FREE = frozenset(
    {
        "bump",
        "file",
        "build_args",
        "platforms",
        "version.exact",
        "version.prerelease",
        "version.prerelease_token",
        "version.tag_prefix",
        "version.moving_tags",
        "notes.mode",
        "notes.sections",
        "notes.only_typed",
        "notes.attach",
        "notes.template",
        "build.target",
        "build.labels",
        "build.no_cache",
        "build.reproducible",
        "build.contexts",
        "build.no_cache_filter",
        "build.pull",
        "build.annotations",
        "build.compression",
        "build.compression_level",
        "build.force_compression",
        "build.oci_media_types",
        "build.add_hosts",
        "build.shm_size",
        "build.ulimits",
    }
)
"""Stays within what a Dockerfile of the same source could do, or only names the version. None of it matters before the
source is fetched, so that a builder can be made meanwhile."""

# The values that make a build stricter, and the changelog by its usual name: it gets nothing but notes.
_FREE_VALUES: Mapping[str, Any] = {
    "build.network": "none",
    "build.provenance": "max",
    "notes.changelog": "CHANGELOG.md",
}

Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """`name`: as people know it. `values`: as a request has them. `lines`: where each key is. `components`: the tables
    of those that are described, with the keys of a request and those of Component. `workspaces`: the kinds of those
    whose members are components."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Place, int] = field(default_factory=dict)
    components: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    workspaces: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str, name: str) -> ReleaseFile:
        """Raises ReleaseFileInvalid, with the line where that is known."""
        try:
            values = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            what = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "is nested too deeply"
            raise ReleaseFileInvalid(f"{name} is not valid TOML: {what}") from None
        lines = _lines(text)
        workspaces, components = values.pop("workspace", ()), values.pop("components", {})
        file = cls(name, values, lines, components, (workspaces,) if isinstance(workspaces, str) else tuple(workspaces))
        file._check()
        file._check_components()
        return file

    @property
    def has_components(self) -> bool:
        return bool(self.components or self.workspaces)

    def of_component(self, name: str, values: Mapping[str, Any]) -> ReleaseFile:
        """What the file says about the release of one component. `values`: of its table, as a request has them."""
        above = ("components", name)
        lines = {place[2:]: line for place, line in self.lines.items() if place[:2] == above}
        common = {key: value for key, value in self.values.items() if key != "image"}
        if "bake" in values:  # its files say what each image is made of
            common = _without(common, OF_ONE_IMAGE)
        return ReleaseFile(self.name, _joined(common, values), {**self.lines, **lines})

    def where(self, place: Place) -> str:
        """The file, and the key's line."""
        line = self.lines.get(place) or self.lines.get(place[:-1])
        return f"{self.name}, line {line}" if line else self.name

    def guarded(self, given: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
        """The keys in force that need permission. `given`: what the request has already, which wins."""
        for place, value in places(self.values, ReleaseRequest):
            if not _is_free(place, value) and (isinstance(value, Mapping) or _at(given, place) is None):
                yield place, value
        for place, value in self.of_components():
            inner = _own(place)
            if not _is_free(inner, value) and (isinstance(value, Mapping) or _at(given, inner) is None):
                yield place, value

    def as_allowed(self, image: str | None) -> list[str]:
        """What allows the values that need permission now (`Config.allow`), and images of components below the file's
        `image`, or this one."""
        places = [*self.guarded({}), *([(("image",), image)] if image is not None else [])]
        keys = [(".".join(_own(place)), text) for place, value in places for text in _texts(value)]
        below = [f"{key}={escape(text)}/*" for key, text in keys if key == "image"]
        return list(dict.fromkeys([*(f"{key}={escape(text)}" for key, text in keys), *below]))

    def of_components(self) -> Iterator[tuple[Place, Any]]:
        """The keys of all components, with the components' names."""
        for name, table in self.components.items():
            for place, value in places(table, ReleaseRequest):
                yield ("components", name, *place), value

    def applied(self, request: ReleaseRequest, allow: Sequence[str]) -> ReleaseRequest:
        """The request with the file's values where it says nothing itself; tables with free keys (`build_args`,
        `build.labels`) are joined. Where there are components, the file's image is only the place of theirs. Raises
        ReleaseFileRefused for what `allow` does not cover, ReleaseFileInvalid."""
        return self.joined(request.model_dump(exclude_unset=True), allow)

    def joined(self, given: Mapping[str, Any], allow: Sequence[str]) -> ReleaseRequest:
        """The same of the values that a request has."""
        self.check_allowed(given, allow)
        values = {name: value for name, value in self.values.items() if name != "image" or not self.has_components}
        try:
            return ReleaseRequest.read(_joined(values, given))
        except UsageError as error:
            raise ReleaseFileInvalid(f"{self.name}: {error.cause}", action=error.action) from error

    def check_allowed(self, given: Mapping[str, Any], allow: Sequence[str]) -> None:
        """Raises ReleaseFileRefused."""
        refused = [
            (place, text)
            for place, value in self.guarded(given)
            if place != ("image",) or not self.has_components
            for text in _denied(place, value, allow)
        ]
        if refused:
            place, _ = refused[0]
            patterns = [f"{'.'.join(place)}={text}" for place, text in refused]
            raise ReleaseFileRefused(
                f"{self.where(place)}: whoever runs the release must allow "
                + ", ".join(dict.fromkeys(f"`{'.'.join(place)}`" for place, _ in refused)),
                details="\n".join(f"{self.where(place)}: {'.'.join(place)} = {text}" for place, text in refused),
                action=(
                    "in your own checkout, read the file and run `slipway config --trust`; anywhere else allow it with "
                    + " ".join(f"--config-allow '{pattern}'" for pattern in patterns)
                ),
            )

    def _check(self) -> None:
        self._known(self.values, ReleaseRequest, ())
        for place, value in places(self.values, ReleaseRequest):
            if ReleaseRequest.table(place[0]) is not None:
                place, value = place[:2], self.values[place[0]][place[1]]
            alone: Any = value
            for name in reversed(place):
                alone = {name: alone}
            try:
                ReleaseRequest.model_validate(alone)
            except ValidationError as error:
                first = error.errors()[0]
                inner = ".".join(str(part) for part in first["loc"])
                raise ReleaseFileInvalid(f"{self.where(place)}: {inner} {wrong(first)}") from None
            except UsageError as error:
                raise ReleaseFileInvalid(f"{self.where(place)}: {error.cause}", action=error.action) from error

    def _check_components(self) -> None:
        for kind in self.workspaces:
            if kind not in WORKSPACES:
                raise ReleaseFileInvalid(
                    f"{self.where(('workspace',))}: there is no workspace {kind!r}{meant(str(kind), WORKSPACES)}",
                    action=f"use {', '.join(WORKSPACES)}",
                )
        if not isinstance(self.components, Mapping):
            raise ReleaseFileInvalid(f"{self.where(('components',))}: write [components.NAME]")
        for name, table in self.components.items():
            where = self.where(("components", name))
            if not isinstance(table, Mapping):
                raise ReleaseFileInvalid(f"{where}: `components.{name}` is a table: write [components.{name}]")
            if not _NAME.fullmatch(name):
                raise ReleaseFileInvalid(
                    f"{where}: {name!r} cannot be a component's name, which is part of tags and image names",
                    action="use lower-case letters and digits, divided by single . _ or -",
                )
            own, values = own_keys(table)
            inner = ReleaseFile(self.name, values, self.of_component(name, {}).lines)
            for key in values:
                if key not in ReleaseRequest.model_fields:
                    known = [*Component.model_fields, *ReleaseRequest.model_fields]
                    raise ReleaseFileInvalid(
                        f"{inner.where((key,))}: `components.{name}.{key}` is not a key{meant(key, known)}"
                    )
            inner._check()
            try:
                Component.read(own)
            except UsageError as error:
                raise ReleaseFileInvalid(f"{where}: {error.cause}", action=error.action) from error

    def _known(self, values: Mapping[str, Any], model: type[Request], above: Place) -> None:
        for name, value in values.items():
            place = (*above, name)
            keys = [key for key in model.model_fields if ".".join((*above, key)) not in NOT_IN_FILE]
            if name not in keys:
                elsewhere = ".".join(place) in NOT_IN_FILE
                # [build.args] is build_args.
                joined = "_".join(place)
                near = f"; did you mean {joined}?" if joined in ReleaseRequest.model_fields else meant(name, keys)
                why = "cannot be chosen by the release file" if elsewhere else f"is not a key{near}"
                raise ReleaseFileInvalid(f"{self.where(place)}: `{'.'.join(place)}` {why}")
            inner = section(model, name)
            if inner is not None:
                if not isinstance(value, Mapping):
                    raise ReleaseFileInvalid(f"{self.where(place)}: `{name}` is a table: write [{name}]")
                self._known(value, inner, place)
            elif (each := model.table(name)) is not None:
                for key, table in value.items() if isinstance(value, Mapping) else [("NAME", None)]:
                    if not isinstance(table, Mapping):
                        raise ReleaseFileInvalid(f"{self.where(place)}: `{name}` has tables: write [{name}.{key}]")
                    self._known(table, each, (*place, key))


_GUARDED = object()

# As a part of a repository's name has it (OCI distribution specification, "Pulling manifests").
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|-)[a-z0-9]+)*")


def own_keys(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of Component, and those of a request."""
    own = {key: value for key, value in table.items() if key in Component.model_fields}
    return own, {key: value for key, value in table.items() if key not in own}


def _own(place: Place) -> Place:
    """A component's key without the component."""
    return place[2:] if place[0] == "components" else place


def _is_free(place: Place, value: Any) -> bool:
    dotted = ".".join(place)
    return dotted in FREE or dotted in Component.model_fields or _FREE_VALUES.get(dotted, _GUARDED) == value


def section(model: type[Request], name: str) -> type[Request] | None:
    """The model of a table; None for any other key. `bake` is a table, too, if it is there."""
    if model is ReleaseRequest and name == "bake":
        from prefect_slipway.flows.request.bake import Bake

        return Bake
    return model.section(name)


def places(values: Mapping[str, Any], model: type[Request], above: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Each key that is not a section, with its value."""
    for name, value in values.items():
        inner = section(model, name)
        if inner is not None:
            yield from places(value, inner, (*above, name))
        elif (each := model.table(name)) is not None:
            for key, table in value.items():
                yield from places(table, each, (*above, name, key))
        else:
            yield (*above, name), value


def _at(values: Mapping[str, Any], place: Place) -> Any:
    found: Any = values
    for name in place:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _denied(place: Place, value: Any, allow: Sequence[str]) -> Iterator[str]:
    """What of a value no pattern allows. A component's key is allowed as the same key of any release is."""
    names = {".".join(place), ".".join(_own(place))}
    patterns = []
    for entry in allow:
        key, _, pattern = entry.partition("=")
        if key == "*" or any(f"{name}.".startswith(f"{key}.") for name in names):
            patterns.append(pattern or "*")
    for text in _texts(value):
        if not any(fnmatchcase(text, pattern) for pattern in patterns):
            yield text


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name}={inner}" for name, inner in value.items()]
    if isinstance(value, list):
        return [str(inner) for inner in value]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def _without(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Without these keys, of which one in a section is SECTION.KEY."""
    kept = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
    for name in names:
        section, _, key = name.rpartition(".")
        (kept.get(section, {}) if section else kept).pop(key, None)
    return kept


def _joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(below)
    for name, value in above.items():
        old = joined.get(name)
        joined[name] = _joined(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return joined


_TABLE = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY = re.compile(r"[\w.\"' -]+")


def _lines(text: str) -> dict[Place, int]:
    """Where the keys are: `tomllib` does not tell. Of a key that seems to be there twice, the first line."""
    table: Place = ()
    found: dict[Place, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = _names(header[1])
            found.setdefault(table, number)
            continue
        key, equals, _ = line.partition("=")
        if equals and _KEY.fullmatch(key.strip()):
            found.setdefault((*table, *_names(key)), number)
    return found


def _names(dotted: str) -> Place:
    return tuple(name.strip().strip("\"'") for name in dotted.split("."))
