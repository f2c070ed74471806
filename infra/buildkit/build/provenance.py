"""The provenance that a daemon keeps with its record of a build, whether or not the image has one.

Where it is: `fetchProvenance` in build/provenance.go (docker/buildx); the older form, SLSA v0.2, is what its metadata
file has: `ConvertToSLSA02` in solver/llbsolver/provenance/types (moby/buildkit).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from prefect_slipway.infra.buildkit.wire.control_pb2 import BuildHistoryRecord, BuildResultInfo
from prefect_slipway.infra.domain.predicates import PREDICATE, SLSA, STATEMENT

_SLSA_1 = f"{SLSA}v1"
_BUILD_TYPE = "https://mobyproject.org/buildkit@v1"


def provenances(record: BuildHistoryRecord) -> Iterator[tuple[str, str, str]]:
    """Platform ("" for a single result), digest and predicate type of each provenance."""
    results = dict(record.Results) or ({"": record.Result} if record.HasField("Result") else {})
    for platform, result in results.items():
        for digest, predicate in _statements(result):
            yield platform, digest, predicate
            break


def as_slsa_02(data: bytes, predicate: str, *, whole: bool) -> dict[str, Any]:
    """The predicate in its older form. `whole`: with build steps and metadata. Raises ValueError, LookupError or
    TypeError for what is none."""
    found = json.loads(data)
    if predicate == _SLSA_1:
        found = _from_slsa_1(found)
    if not isinstance(found, dict):
        raise TypeError("a predicate must be an object")
    return found if whole else {key: value for key, value in found.items() if key not in {"buildConfig", "metadata"}}


def _statements(result: BuildResultInfo) -> Iterator[tuple[str, str]]:
    for each in result.Attestations:
        predicate = each.annotations.get(PREDICATE, "")
        if each.media_type == STATEMENT and predicate.startswith(SLSA):
            yield each.digest, predicate


def _from_slsa_1(found: dict[str, Any]) -> dict[str, Any]:
    definition, details = found["buildDefinition"], found["runDetails"]
    asked, internal = definition["externalParameters"], dict(definition["internalParameters"])
    source = {{"path": "entryPoint"}.get(key, key): value for key, value in asked["configSource"].items()}
    steps = internal.pop("buildConfig", None)
    older: dict[str, Any] = {
        "builder": {"id": details["builder"]["id"]},
        "buildType": _BUILD_TYPE,
        "materials": [
            {key: each[key] for key in ("uri", "digest") if key in each}
            for each in definition.get("resolvedDependencies") or []
        ],
        "invocation": {
            "configSource": source,
            "parameters": asked["request"],
            "environment": {"platform": internal.pop("builderPlatform", ""), **internal},
        },
        "buildConfig": steps,
        "metadata": _metadata(details["metadata"]) if details.get("metadata") else None,
    }
    return {key: value for key, value in older.items() if value or key in {"builder", "invocation"}}


def _metadata(found: dict[str, Any]) -> dict[str, Any]:
    names = {"invocationId": "buildInvocationID", "startedOn": "buildStartedOn", "finishedOn": "buildFinishedOn"}
    complete = found.get("buildkit_completeness") or {}
    older = {name: found[key] for key, name in names.items() if key in found}
    older["completeness"] = {
        "parameters": bool(complete.get("request")),
        "environment": True,
        "materials": bool(complete.get("resolvedDependencies")),
    }
    older["reproducible"] = bool(found.get("buildkit_reproducible"))
    older[f"{_BUILD_TYPE}#metadata"] = found.get("buildkit_metadata") or {}
    if found.get("buildkit_hermetic"):
        older[f"{_BUILD_TYPE}#hermetic"] = True
    return older
