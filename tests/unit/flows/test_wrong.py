"""What people read of a value that is not right."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.rollout import DeployRequest, PromoteRequest
from prefect_slipway.infra.domain.errors import InvalidOption

DEPLOY = {"reference": "r.example/app:1.0.0", "workload": "deployment/app"}


@pytest.mark.parametrize(
    ("model", "values", "said"),
    [
        (DeployRequest, {"reference": "app"}, "workload: is missing"),
        (PromoteRequest, {"environments": []}, "environments: needs at least 2"),
        (ReleaseRequest, {"source": 5}, "source: must be text"),
        (ReleaseRequest, {"bump": "huge"}, "bump: must be 'major', 'minor', 'patch', 'prerelease' or 'auto'"),
        (ReleaseRequest, {"platforms": "linux/amd64"}, "platforms: must be a list"),
        (ReleaseRequest, {"build_args": []}, "build_args: must be fields with values"),
        (ReleaseRequest, {"build": "x"}, "build: must be fields with values"),
        (ReleaseRequest, {"build": {"pull": "perhaps"}}, "build.pull: must be true or false"),
        (ReleaseRequest, {"build": {"compression": "lz4"}}, "build.compression: must be 'uncompressed', 'gzip'"),
        (ReleaseRequest, {"build": {"compression_level": "x"}}, "build.compression_level: must be a whole number"),
        (ReleaseRequest, {"build": {"compression_level": 99}}, "build.compression_level: must be at most 22"),
        (ReleaseRequest, {"approval": {"timeout_s": 0}}, "approval.timeout_s: must be more than 0"),
        (
            DeployRequest,
            {"reference": "r/app", "workload": "deployment/app", "settle_s": -1},
            "settle_s: must be at least 0",
        ),
        (
            DeployRequest,
            {"reference": "r/app", "workload": "deployment/app", "settle_s": "x"},
            "settle_s: must be a number",
        ),
    ],
)
def test_it_is_said_in_plain_words(model: type[Any], values: dict[str, Any], said: str) -> None:
    """The field, and what it must be."""
    with pytest.raises(InvalidOption) as caught:
        model.read(values)
    assert caught.value.cause.startswith(said), caught.value.cause
