"""The branch that is released from, and what it says about the version: a prerelease channel, or a maintenance line."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.infra.domain.errors import BranchUnknown
from prefect_slipway.infra.domain.version import MaintenanceLine
from prefect_slipway.infra.source.branch import branch_name
from prefect_slipway.infra.source.checkout import Checkout


@dataclass(frozen=True, slots=True)
class Branch:
    """`name`: "" if it is not known. `channel`: what its prereleases are named, None for stable versions. `line`: the
    only versions it takes, None for all."""

    name: str = ""
    channel: str | None = None
    line: MaintenanceLine | None = None

    @classmethod
    def of(cls, name: str, request: ReleaseRequest) -> Branch:
        """What the request says about the branch of that name. Raises InvalidOption."""
        return cls(name, request.version.channel_of(name), MaintenanceLine.of(name))

    def applied(self, request: ReleaseRequest) -> ReleaseRequest:
        """The request, as one for a prerelease of the channel. A version or prerelease that it names itself wins."""
        version = request.version
        if self.channel is None or version.exact is not None or version.prerelease:
            return request
        prerelease = {"prerelease": True, "prerelease_token": self.channel}
        return request.model_copy(update={"version": version.model_copy(update=prerelease)})

    @property
    def why(self) -> str:
        """For the plan; "" if the branch decides nothing."""
        if self.channel is not None:
            return f"; the branch {self.name} releases to the channel {self.channel}"
        return f"; the branch {self.name} takes versions {self.line} only" if self.line is not None else ""


async def name_of_branch(run: OpenRun, checkout: Checkout, *, needed: bool, wanted: bool = False) -> str:
    """The branch's name, "" if it is not known. A CI's environment is not asked: it may tell of another repository.
    `needed`, `wanted`: the remote is asked which branch is its default. Raises BranchUnknown if it is `needed`,
    SourceErrors."""
    name = run.request.checkout.branch or await branch_name(checkout, run.git_credentials(), default=needed or wanted)
    name = name.removeprefix("refs/heads/")
    if needed and (not name or name.startswith("refs/")):
        raise BranchUnknown(
            "which channel this release belongs to depends on its branch, which is not known: a detached HEAD, a tag, "
            "a commit id, or no git repository"
        )
    return name


def needs_branch(request: ReleaseRequest) -> bool:
    """Whether the version cannot be told without it."""
    return bool(request.version.channels) and request.version.exact is None
