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
    """Replace the flow `release` by one that releases nothing but reports success; yields the requests it received.

    Each call is still a flow run, which `prefect_test_harness` records. The digest differs between requests, and an
    unnamed image is in `registry.invalid`. `version`: used if the request has none. `error`: raised instead.
    """
    asked: list[ReleaseRequest] = []

    async def pretend(request: ReleaseRequest) -> ReleaseResult:
        asked.append(request)
        if error is not None:
            raise error
        return _result(request, request.version.exact or version)

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
