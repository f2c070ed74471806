"""Outputs of a build: the exporters and their attributes.

Attributes: exporter/containerimage/exptypes/keys.go, exporter/local/fs.go, exporter/oci/export.go (moby/buildkit). Each
type here takes further ones (`compression=zstd`, `oci-mediatypes=true` ...) in `attributes`, as the daemon knows them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from prefect_slipway.infra.buildkit.build.docker_engine import DockerEngine

_ANNOTATION = re.compile(r"(?:(?P<level>(?:index|manifest)(?:-descriptor)?)(?P<platform>\[[^]]*])?:)?(?P<key>.+)", re.S)


class ImagePush(NamedTuple):
    """Push the image. `name`: `registry/repository[:tag]`, several divided by commas. `by_digest`: without a tag, so
    that nothing is named yet.

    `insecure`: the registry speaks plain HTTP or shows a certificate nobody vouches for. `keep`: also keep the image
    in the daemon's store. `rewrite_timestamp`: clamp file times in the layers to `source_date_epoch`.
    """

    name: str
    by_digest: bool = False
    insecure: bool = False
    keep: bool = False
    rewrite_timestamp: bool = False
    attributes: Mapping[str, str] = MappingProxyType({})


class ImageStore(NamedTuple):
    """Keep the image in the daemon's own store: in a Docker engine's among the images that `docker run` finds."""

    name: str
    attributes: Mapping[str, str] = MappingProxyType({})


class LocalOutput(NamedTuple):
    """Copy the result's files into the directory `dest`, beside what is there; several platforms each into a folder of
    its own. `delete`: when the build has succeeded, what is not of its result is removed from there; `anywhere`: also
    from a folder that is not below the working directory."""

    dest: Path
    delete: bool = False
    anywhere: bool = False
    attributes: Mapping[str, str] = MappingProxyType({})


class TarOutput(NamedTuple):
    """The result's files as a tar archive. `dest`: a file, or a stream that is written to and not closed."""

    dest: Path | BinaryIO
    attributes: Mapping[str, str] = MappingProxyType({})


class OciOutput(NamedTuple):
    """The image as an OCI layout: a tar archive, or with `tar` False a directory."""

    dest: Path | BinaryIO
    name: str = ""
    tar: bool = True
    attributes: Mapping[str, str] = MappingProxyType({})


class DockerOutput(NamedTuple):
    """The image as `docker load` takes it (one platform only): a tar archive, or with `tar` False a directory."""

    dest: Path | BinaryIO
    name: str = ""
    tar: bool = True
    attributes: Mapping[str, str] = MappingProxyType({})


class EngineLoad(NamedTuple):
    """Load the image into a Docker engine that is not the builder. `layout`: it takes OCI layouts, and so several
    platforms and attestations; None: the engine is asked."""

    engine: DockerEngine
    name: str = ""
    layout: bool | None = None
    attributes: Mapping[str, str] = MappingProxyType({})


Output = ImagePush | ImageStore | LocalOutput | TarOutput | OciOutput | DockerOutput | EngineLoad


def exporter(output: Output, annotations: Mapping[str, str], *, engine: bool) -> tuple[str, dict[str, str]]:
    """An exporter's type and attributes. `engine`: the daemon is a Docker engine's, whose store has an exporter of its
    own (builder/builder-next/exporter in moby/moby), also where there is no `image`.
    `annotations` go to the images; keys may start with `index:`,
    `manifest[linux/amd64]:` ... as docker's `--annotation` has them."""
    match output:
        case ImagePush():
            kind, attributes = "image", _push_attributes(output)
        case ImageStore():
            kind, attributes = "moby" if engine else "image", {"name": output.name} if output.name else {}
        case LocalOutput():
            return "local", dict(output.attributes)
        case TarOutput():
            return "tar", dict(output.attributes)
        case OciOutput() | DockerOutput():
            kind, attributes = "oci" if isinstance(output, OciOutput) else "docker", {}
            if output.name:
                attributes["name"] = output.name
            if not output.tar:
                attributes["tar"] = "false"
        case EngineLoad():
            kind, attributes = "oci" if output.layout else "docker", {"name": output.name} if output.name else {}
    attributes.update({_annotation_key(key): value for key, value in annotations.items()})
    if annotations:
        # Docker's media types have no place for annotations.
        attributes["oci-mediatypes"] = "true"
    return kind, attributes | dict(output.attributes)


def annotations_without(annotations: Mapping[str, str], platforms: Container[str]) -> dict[str, str]:
    """The annotations but for those of these platforms alone: a daemon that does not build one refuses its
    annotations."""
    return {key: value for key, value in annotations.items() if _platform_of(key) not in platforms}


def _platform_of(key: str) -> str | None:
    # Imported late, so that `slipway build` starts fast.
    from prefect_slipway.infra.domain.platform import normal_platform

    match = _ANNOTATION.fullmatch(key)
    return normal_platform(match["platform"][1:-1]) if match and match["platform"] else None


def _push_attributes(push: ImagePush) -> dict[str, str]:
    attributes = {"name": push.name, "push": "true"}
    if push.by_digest:
        attributes["push-by-digest"] = "true"
    if push.insecure:
        attributes["registry.insecure"] = "true"
    if not push.keep:
        attributes["store"] = "false"
    if push.rewrite_timestamp:
        attributes["rewrite-timestamp"] = "true"
    return attributes


def _annotation_key(text: str) -> str:
    """`KEY` and `manifest:KEY` as `annotation.KEY`, `index:KEY` as `annotation-index.KEY` (docs/annotations.md)."""
    match = _ANNOTATION.fullmatch(text)
    level, platform, key = (match["level"], match["platform"], match["key"]) if match else (None, None, text)
    if level in {None, "manifest"} and platform is None:
        return f"annotation.{key}"
    return f"annotation-{level}{platform or ''}.{key}"
