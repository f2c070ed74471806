"""Builds."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class BuildError(SlipwayError):
    pass


class DockerfileMissing(BuildError):
    default_action = "name the Dockerfile with --file, relative to the source"


class DockerfileInvalid(BuildError):
    default_action = "mend the line that is marked above"


class StepFailed(BuildError):
    """`step`: the step's name as BuildKit shows it; `status`: the process's exit code, None if there was none."""

    default_action = "mend the step; its last lines stand above"

    def __init__(
        self,
        cause: str,
        *,
        step: str = "",
        status: int | None = None,
        action: str | None = None,
        retry_after: float | None = None,
        details: str = "",
    ) -> None:
        super().__init__(cause, action=action, retry_after=retry_after, details=details)
        self.step = step
        self.status = status


class StepOutOfMemory(StepFailed):
    default_action = "give the builder more memory, or let the step take less of it (fewer jobs at once)"


class ContextError(BuildError):
    default_action = "keep the source still while it is read, or exclude the file in .dockerignore"


class BaseImageUnavailable(BuildError):
    default_action = "check the image's name; a private one needs credentials for its registry"


class BuildSecretMissing(BuildError):
    default_action = "give it to the build: --secret id=NAME,src=FILE or env=VARIABLE, --ssh default"


class OutputError(BuildError):
    default_action = "check the destination: its permissions, and the space on its disk"
