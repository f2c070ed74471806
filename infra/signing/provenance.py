"""SLSA provenance, as BuildKit writes it: where an image comes from, and when it was built.

Sources: slsa.dev `spec/v1.0/provenance` and `spec/v0.2`, docs/attestations/slsa-definitions.md (moby/buildkit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect_slipway.infra.signing.reading import object_in, objects_in, text_in

# What a release adds to the arguments of its builds.
RUN = "slipway:run"
VERSION = "slipway:version"
TRIGGER = "slipway:trigger"
SOURCE_POLICY = "slipway:source-policy"
REF = "slipway:ref"

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


def provenance_of(predicate: Mapping[str, Any]) -> Provenance:
    """From either version of SLSA's format; what is missing, or has another type, is empty."""
    definition, details = object_in(predicate, "buildDefinition"), object_in(predicate, "runDetails")
    if definition or details:
        asked = object_in(object_in(definition, "externalParameters"), "request")
        metadata, materials = object_in(details, "metadata"), definition.get("resolvedDependencies")
        vcs = object_in(object_in(metadata, "buildkit_metadata"), "vcs")
        builder, times = object_in(details, "builder"), ("startedOn", "finishedOn")
    else:
        asked = object_in(object_in(predicate, "invocation"), "parameters")
        metadata, materials = object_in(predicate, "metadata"), predicate.get("materials")
        vcs = object_in(object_in(metadata, _METADATA), "vcs")
        builder, times = object_in(predicate, "builder"), ("buildStartedOn", "buildFinishedOn")
    told = object_in(asked, "args")
    return Provenance(
        builder=text_in(builder, "id"),
        source=text_in(vcs, "source"),
        revision=text_in(vcs, "revision"),
        run=text_in(told, RUN),
        version=text_in(told, VERSION),
        trigger=text_in(told, TRIGGER),
        ref=text_in(told, REF),
        started=text_in(metadata, times[0]),
        finished=text_in(metadata, times[1]),
        materials=tuple(_material(each) for each in objects_in(materials)),
    )


def _material(entry: Mapping[str, Any]) -> Material:
    digests = object_in(entry, "digest")
    digest = next((f"{name}:{value}" for name, value in digests.items() if isinstance(value, str)), "")
    return Material(text_in(entry, "uri"), digest)
