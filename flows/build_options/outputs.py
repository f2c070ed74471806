"""`--output`, `--push` and `--load`: what happens to a build's result.

Rules: util/buildflags/export.go, `CreateExports` and `toSolveOpt` in build/opt.go (docker/buildx).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from prefect_slipway.infra.buildkit.build.outputs import (
    DockerOutput,
    EngineLoad,
    ImagePush,
    ImageStore,
    LocalOutput,
    OciOutput,
    Output,
    TarOutput,
)
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import attributes, boolean, csv_fields, parse_bool

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.build.docker_engine import DockerEngine

_KINDS = "registry, image, local, tar, oci, docker or cacheonly"


class Surroundings(NamedTuple):
    """`engine`: the builder is a Docker engine, which keeps images itself. `local_engine`: the Docker engine of the
    `docker` command, or of this context of docker's; only looked up to load an image into it.
    `insecure`: registries speak plain HTTP. `delete_anywhere`: `mode=delete` may clear any folder."""

    engine: bool
    local_engine: Callable[[str], DockerEngine]
    insecure: bool = False
    delete_anywhere: bool = False


class _Entry(NamedTuple):
    kind: str
    dest: str
    attributes: dict[str, str]

    @classmethod
    def read(cls, text: str) -> _Entry:
        if csv_fields("--output", text) == [text] and not text.startswith("type="):
            # A folder; `-` is an archive on standard output.
            return cls("tar" if text == "-" else "local", text, {})
        values = attributes("--output", text)
        if not (kind := values.pop("type", "")):
            raise InvalidOption(f"--output {text!r} has no type", action=f"write type=…: {_KINDS}")
        return cls(kind, values.pop("dest", ""), values)

    def flag(self, name: str, default: bool = False) -> bool:
        """Take a truth value out of the attributes."""
        text = self.attributes.pop(name, "")
        return boolean(f"--output: {name}", text) if text else default


def outputs(
    texts: Sequence[str], tags: Sequence[str], surroundings: Surroundings, *, push: bool = False, load: bool = False
) -> tuple[Output, ...]:
    """The requested outputs; without any, the result stays in the daemon's cache."""
    for tag in tags:
        # Imported late, so that `slipway build` starts fast.
        from prefect_slipway.infra.domain.reference import ImageReference

        ImageReference.parse(tag)
    entries = [_Entry.read(text) for text in texts if text]
    if push:
        images = [entry for entry in entries if entry.kind in {"image", "registry"}]
        for entry in images:
            entry.attributes["push"] = "true"
        entries += [] if images else [_Entry("registry", "", {})]
    if load and not any(entry.kind == "docker" and not entry.dest for entry in entries):
        entries.append(_Entry("docker", "", {}))
    if sum(entry.dest == "-" or (entry.kind in {"tar", "oci"} and not entry.dest) for entry in entries) > 1:
        raise InvalidOption("several outputs go to standard output", action="name a file for all but one: dest=FILE")
    return tuple(_output(entry, tags, surroundings) for entry in entries if entry.kind != "cacheonly")


def kind_of(text: str) -> str:
    """The type of an output. Raises InvalidOption."""
    return _Entry.read(text).kind


def stays_in_engine(texts: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a Docker engine keeps the image although no output was requested, as docker's own builder does."""
    return not any(texts) and not parse_bool(env.get("BUILDX_NO_DEFAULT_LOAD", ""))


def _output(entry: _Entry, tags: Sequence[str], surroundings: Surroundings) -> Output:
    given = [name for name in entry.attributes.pop("name", "").split(",") if name]
    names = list(tags) or given
    name = ",".join(names)
    match entry.kind:
        case "image" | "registry":
            pushes = entry.flag("push") or entry.kind == "registry"
            if pushes:
                return _push(entry, names, surroundings)
            return ImageStore(name, entry.attributes)
        case "local":
            return _local(entry, surroundings)
        case "tar":
            return TarOutput(_file(entry), entry.attributes)
        case "oci" | "docker":
            tar = entry.flag("tar", default=True)
            context = entry.attributes.pop("context", "")
            if entry.kind == "oci" or entry.dest or not tar:
                kind = OciOutput if entry.kind == "oci" else DockerOutput
                return kind(_file(entry) if tar else _folder(entry), name, tar, entry.attributes)
            if surroundings.engine:
                return ImageStore(name, entry.attributes)
            return EngineLoad(surroundings.local_engine(context), name, attributes=entry.attributes)
    raise InvalidOption(f"--output: there is no type {entry.kind!r}", action=f"use {_KINDS}")


def _push(entry: _Entry, names: list[str], surroundings: Surroundings) -> ImagePush:
    if not names:
        raise InvalidOption("an image that is pushed needs a name", action="name it with --tag")
    # Imported late, so that `slipway build` starts fast.
    from prefect_slipway.infra.domain.reference import ImageReference, is_loopback

    plain = surroundings.insecure or all(is_loopback(ImageReference.parse(each).registry) for each in names)
    by_digest = entry.flag("push-by-digest")
    return ImagePush(
        ",".join(names),
        by_digest=by_digest,
        insecure=plain,
        keep=entry.kind == "image",
        attributes=entry.attributes,
    )


def _local(entry: _Entry, surroundings: Surroundings) -> LocalOutput:
    mode = entry.attributes.pop("mode", "") or "copy"
    if mode not in {"copy", "delete"}:
        raise InvalidOption(f"--output: there is no mode {mode!r}", action="use copy or delete")
    return LocalOutput(_folder(entry), mode == "delete", surroundings.delete_anywhere, entry.attributes)


def _folder(entry: _Entry) -> Path:
    if entry.dest in {"", "-"}:
        raise InvalidOption(f"--output type={entry.kind} needs dest=…", action="use a directory")
    return Path(entry.dest)


def _file(entry: _Entry) -> Path | BinaryIO:
    if entry.dest.endswith("/"):
        raise InvalidOption(f"--output type={entry.kind}: {entry.dest!r} is a directory", action="use a file in it")
    if entry.dest not in {"", "-"}:
        return Path(entry.dest)
    if sys.stdout.isatty():
        raise InvalidOption(
            f"--output type={entry.kind} would write to the terminal", action="set a file with dest=FILE, or use a pipe"
        )
    return sys.stdout.buffer
