"""Provenance in its two forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prefect_slipway.infra.buildkit.build.provenance import as_slsa_02

_V1 = "https://slsa.dev/provenance/v1"
MOBY = "https://mobyproject.org/buildkit@v1"
NEWER: dict[str, Any] = {
    "buildDefinition": {
        "buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
        "externalParameters": {
            "configSource": {"path": "Dockerfile", "uri": "https://x.example/y.git"},
            "request": {"frontend": "dockerfile.v0", "args": {"target": "a"}},
        },
        "internalParameters": {"buildConfig": {"llbDefinition": [1]}, "builderPlatform": "linux/amd64"},
        "resolvedDependencies": [{"uri": "pkg:docker/a", "digest": {"sha256": "0"}, "name": "a"}],
    },
    "runDetails": {
        "builder": {"id": "the builder"},
        "metadata": {
            "invocationId": "i",
            "startedOn": "s",
            "finishedOn": "f",
            "buildkit_hermetic": True,
            "buildkit_completeness": {"request": True, "resolvedDependencies": False},
            "buildkit_reproducible": False,
            "buildkit_metadata": {"vcs": {"revision": "r"}},
        },
    },
}
OLDER = {
    "builder": {"id": "the builder"},
    "buildType": MOBY,
    "materials": [{"uri": "pkg:docker/a", "digest": {"sha256": "0"}}],
    "invocation": {
        "configSource": {"entryPoint": "Dockerfile", "uri": "https://x.example/y.git"},
        "parameters": {"frontend": "dockerfile.v0", "args": {"target": "a"}},
        "environment": {"platform": "linux/amd64"},
    },
    "buildConfig": {"llbDefinition": [1]},
    "metadata": {
        "buildInvocationID": "i",
        "buildStartedOn": "s",
        "buildFinishedOn": "f",
        "completeness": {"parameters": True, "environment": True, "materials": False},
        "reproducible": False,
        f"{MOBY}#metadata": {"vcs": {"revision": "r"}},
        f"{MOBY}#hermetic": True,
    },
}


def test_the_newer_form_becomes_the_older() -> None:
    """Field by field, and without steps and times where those are not wanted."""
    assert as_slsa_02(json.dumps(NEWER).encode(), _V1, whole=True) == OLDER
    short = as_slsa_02(json.dumps(NEWER).encode(), _V1, whole=False)
    assert short == {key: value for key, value in OLDER.items() if key not in {"buildConfig", "metadata"}}


def test_the_older_form_stays() -> None:
    """What a daemon before v0.24 keeps is given as it is."""
    older = "https://slsa.dev/provenance/v0.2"
    assert as_slsa_02(json.dumps(OLDER).encode(), older, whole=True) == OLDER
    assert "metadata" not in as_slsa_02(json.dumps(OLDER).encode(), older, whole=False)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"buildDefinition": 5, "runDetails": {}}'])
def test_what_is_none(data: bytes) -> None:
    """It is said, in one of the ways that the caller knows."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        as_slsa_02(data, _V1, whole=True)
