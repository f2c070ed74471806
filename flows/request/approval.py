"""The section of a request on whether somebody must approve it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prefect_slipway.flows.request.model import Option, Request


class Approval(Request):
    """Whether a release waits until somebody approves its plan."""

    required: Annotated[bool, Option("approval")] = Field(
        default=False,
        description="Show the plan and wait for an approval before anything is built or pushed.",
    )
    timeout_s: Annotated[int, Option("approval-timeout-s")] = Field(
        default=86_400,
        gt=0,
        description="Seconds to wait for an approval before the release fails. Default: 86400, one day.",
    )
