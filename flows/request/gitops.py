"""The requests that write images into git repositories: a deploy, a rollback, a promotion."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from prefect_slipway.flows.request.git_target import GitTarget
from prefect_slipway.flows.request.rollout import PREVIOUS, CheckedOptions, check_reference, reference_title
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import is_digest
from prefect_slipway.infra.domain.version import parse_version


class GitEnvironment(GitTarget):
    """A stage of a promotion."""

    name: str = Field(description="Name of the environment, such as staging or production.")
    approval: bool = Field(default=True, description="Wait for an approval before this environment. Default: true.")


class GitDeployRequest(CheckedOptions):
    """One image into one place in a git repository."""

    reference: str = Field(description="Image, as for a deploy to a workload.")
    version: str | None = Field(default=None, description="Version to deploy.")
    git: GitTarget = Field(description="Where to write.")
    approval: bool = Field(default=False, description="Wait for an approval before the commit.")

    @property
    def run_name(self) -> str:
        return f"write {reference_title(self.reference, self.version)} to {self.git.place}"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        return (("image", self.reference), *_shown(self.git))

    @model_validator(mode="after")
    def _image_is_one(self) -> Self:
        check_reference(self.reference, self.version)
        return self


class GitRollbackRequest(CheckedOptions):
    """Return a place in a git repository to an earlier release."""

    git: GitTarget = Field(description="Where to write.")
    to: str = Field(default=PREVIOUS, description="Release to return to: `previous`, a version or a digest.")
    image: str | None = Field(default=None, description="REGISTRY/REPOSITORY of the version.")

    @property
    def run_name(self) -> str:
        return f"roll back {self.git.place} to {self.to}"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        return (("to", self.to), *_shown(self.git))

    @field_validator("to")
    @classmethod
    def _to_is_known(cls, value: str) -> str:
        if value != PREVIOUS and not is_digest(value):
            parse_version(value)
        return value


class GitPromoteRequest(CheckedOptions):
    """The same digest from place to place in git, in their order."""

    environments: list[GitEnvironment] = Field(min_length=2, description="Environments in order.")
    reference: str | None = Field(default=None, description="Image to promote. Leave empty for the first one's.")
    version: str | None = Field(default=None, description="Version to promote.")

    @property
    def way(self) -> str:
        return " → ".join(each.name for each in self.environments)

    @property
    def run_name(self) -> str:
        return f"promote in git: {self.way}"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        return (("image", self.reference), *((each.name, each.place) for each in self.environments))

    @model_validator(mode="after")
    def _image_is_one(self) -> Self:
        if self.reference is not None:
            check_reference(self.reference, self.version)
        elif self.version is not None:
            raise InvalidOption("a version needs its image", action="add the reference as well")
        if len({each.name for each in self.environments}) < len(self.environments):
            raise InvalidOption("two environments have the same name", action="use different names")
        return self


def _shown(target: GitTarget) -> tuple[tuple[str, str | None], ...]:
    return (("repository", target.repository), ("branch", target.branch), ("path", target.path))
