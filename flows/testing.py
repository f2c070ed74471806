"""Test flows that release: a fake release that builds and pushes nothing and returns a real ReleaseResult."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.runtime import flow_run

from prefect_slipway.flows.release import release
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.values.result import ReleasedImage, ReleaseResult


@contextmanager
def fake_release(version: str = "1.0.0", *, error: Exception | None = None) -> Iterator[list[ReleaseRequest]]:
    """Within: the flow `release` releases nothing, but says that it did; gives the requests that it got.

    It is a run of the flow all the same, as `prefect_test_harness` records it. The digest tells requests apart, and an
    image that was not named is in `registry.invalid`. `version`: where the request names none. `error`: raised instead.
    """
    asked: list[ReleaseRequest] = []

    async def pretend(request: ReleaseRequest) -> ReleaseResult:
        asked.append(request)
        if error is not None:
            raise error
        return _result(request, request.version or version)

    real: Any = release.fn
    release.fn = pretend
    try:
        yield asked
    finally:
        release.fn = real


def _result(request: ReleaseRequest, version: str) -> ReleaseResult:
    image = request.image or f"registry.invalid/{request.called.lower()}"
    digest = f"sha256:{hashlib.sha256(request.model_dump_json().encode()).hexdigest()}"
    made = ReleasedImage(image, f"{image}:{version}@{digest}", digest, (version,), steps=0, cached_steps=0, size=0)
    return ReleaseResult(
        image=image,
        released=True,
        reason="a fake release",
        version=version,
        tags=made.tags,
        digest=digest,
        reference=made.reference,
        flow_run_id=str(flow_run.id) if flow_run.id else None,
        source=request.called,
        images=(made,),
    )
