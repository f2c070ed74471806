"""SLSA provenance, as BuildKit writes it: where an image comes from, and when it was built.

Sources: slsa.dev `spec/v1.0/provenance` and `spec/v0.2`, docs/attestations/slsa-definitions.md (moby/buildkit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from prefect_slipway.infra.signing.reading import object_in, objects_in, text_in

# What a release adds to the arguments of its builds.
RUN = "slipway:run"
VERSION = "slipway:version"
TRIGGER = "slipway:trigger"
SOURCE_POLICY = "slipway:source-policy"
REF = "slipway:ref"
PATH = "slipway:path"
"""Of the build context in the source."""
FILE = "slipway:file"
"""Of the Dockerfile in the build context, or INLINE."""
INLINE = "-"

_METADATA = "https://mobyproject.org/buildkit@v1#metadata"


@dataclass(frozen=True, slots=True)
class Material:
    """Something that a build used: a base image, a source, a file from a URL."""

    uri: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the image was built. `run`, `version`, `trigger`, `ref`: of a release by Slipway; "" where nothing is said.

    `source`: the repository's address, of a build by others with the ref as its fragment.
    """

    builder: str = ""
    source: str = ""
    revision: str = ""
    run: str = ""
    version: str = ""
    trigger: str = ""
    ref: str = ""
    started: str = ""
    finished: str = ""
    materials: tuple[Material, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a builder was asked: `args`, the frontend's attributes (any JSON); `locals`, the names of directories;
    `secrets`, the ids of secrets and SSH keys; `entry_point`, the name of the Dockerfile."""

    args: Mapping[str, Any]
    locals: tuple[str, ...]
    secrets: tuple[str, ...]
    entry_point: str


def provenance_of(predicate: Mapping[str, Any]) -> Provenance:
    """From either version of SLSA's format; what is missing, or has another type, is empty."""
    parts = _parts(predicate)
    asked, vcs, metadata = parts.asked, parts.vcs, parts.metadata
    told = object_in(asked, "args")
    return Provenance(
        builder=text_in(parts.builder, "id"),
        source=text_in(vcs, "source"),
        revision=text_in(vcs, "revision"),
        run=text_in(told, RUN),
        version=text_in(told, VERSION),
        trigger=text_in(told, TRIGGER),
        ref=text_in(told, REF),
        started=text_in(metadata, parts.times[0]),
        finished=text_in(metadata, parts.times[1]),
        materials=tuple(_material(each) for each in objects_in(parts.materials)),
    )


def asked_of(predicate: Mapping[str, Any]) -> Asked:
    """What the builder was asked, as of `provenance_of`."""
    parts = _parts(predicate)
    secrets = [*objects_in(parts.asked.get("secrets")), *objects_in(parts.asked.get("ssh"))]
    return Asked(
        args=object_in(parts.asked, "args"),
        locals=tuple(text_in(each, "name") for each in objects_in(parts.asked.get("locals"))),
        secrets=tuple(text_in(each, "id") for each in secrets),
        entry_point=text_in(parts.source, "entryPoint") or text_in(parts.source, "path"),
    )


class _Parts(NamedTuple):
    """Where both versions of the format have the same. `source`: the place of the Dockerfile."""

    asked: Mapping[str, Any]
    source: Mapping[str, Any]
    metadata: Mapping[str, Any]
    vcs: Mapping[str, Any]
    builder: Mapping[str, Any]
    materials: object
    times: tuple[str, str]


def _parts(predicate: Mapping[str, Any]) -> _Parts:
    definition, details = object_in(predicate, "buildDefinition"), object_in(predicate, "runDetails")
    if definition or details:
        outside, metadata = object_in(definition, "externalParameters"), object_in(details, "metadata")
        return _Parts(
            object_in(outside, "request"),
            object_in(outside, "configSource"),
            metadata,
            object_in(object_in(metadata, "buildkit_metadata"), "vcs"),
            object_in(details, "builder"),
            definition.get("resolvedDependencies"),
            ("startedOn", "finishedOn"),
        )
    invocation, metadata = object_in(predicate, "invocation"), object_in(predicate, "metadata")
    return _Parts(
        object_in(invocation, "parameters"),
        object_in(invocation, "configSource"),
        metadata,
        object_in(object_in(metadata, _METADATA), "vcs"),
        object_in(predicate, "builder"),
        predicate.get("materials"),
        ("buildStartedOn", "buildFinishedOn"),
    )


def _material(entry: Mapping[str, Any]) -> Material:
    digests = object_in(entry, "digest")
    digest = next((f"{name}:{value}" for name, value in digests.items() if isinstance(value, str)), "")
    return Material(text_in(entry, "uri"), digest)
