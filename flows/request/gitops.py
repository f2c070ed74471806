"""The requests that write images into git repositories: a deploy, a rollback, a promotion."""

from __future__ import annotations

from pydantic import Field

from prefect_slipway.flows.request.git_target import GitTarget
from prefect_slipway.flows.request.rollout import CheckedOptions, EarlierRelease, OneImage, Promotion, reference_title


class GitEnvironment(GitTarget):
    """A stage of a promotion."""

    name: str = Field(description="Name of the environment, such as staging or production.")
    approval: bool = Field(default=True, description="Wait for an approval before this environment. Default: true.")


class GitPlace(CheckedOptions):
    """One place in a git repository."""

    git: GitTarget = Field(description="Where to write.")

    @property
    def vault_places(self) -> list[str | None]:
        return self.git.vault_places


class GitDeployRequest(OneImage, GitPlace):
    """One image into one place in a git repository."""

    approval: bool = Field(default=False, description="Wait for an approval before the commit.")

    @property
    def run_name(self) -> str:
        return f"write {reference_title(self.reference, self.version)} to {self.git.place}"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        return (("image", self.reference), *self.git.shown)


class GitRollbackRequest(EarlierRelease, GitPlace):
    """Return a place in a git repository to an earlier release."""

    @property
    def run_name(self) -> str:
        return f"roll back {self.git.place} to {self.to}"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        return (("to", self.to), *self.git.shown)


class GitPromoteRequest(Promotion, CheckedOptions):
    """The same digest from place to place in git, in their order."""

    environments: list[GitEnvironment] = Field(min_length=2, description="Environments in order.")

    @property
    def run_name(self) -> str:
        return f"promote in git: {self.way}"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        return (("image", self.reference), *((each.name, each.place) for each in self.environments))

    @property
    def vault_places(self) -> list[str | None]:
        return [place for each in self.environments for place in each.vault_places]
