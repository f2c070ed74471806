"""Builds."""

from __future__ import annotations

from typing import Any

from prefect_slipway.infra.domain.errors.base import SlipwayError


class BuildError(SlipwayError):
    pass


class DockerfileMissing(BuildError):
    default_action = "name the Dockerfile with --file, relative to the source"


class DockerfileInvalid(BuildError):
    default_action = "fix the marked line above"


class StepFailed(BuildError):
    """`step`: the step's name as BuildKit shows it; `status`: the process's exit code, None if there was none."""

    default_action = "fix the step; its last lines are shown above"

    def __init__(self, cause: str, *, step: str = "", status: int | None = None, **more: Any) -> None:
        super().__init__(cause, **more)
        self.step = step
        self.status = status


class StepOutOfMemory(StepFailed):
    default_action = "give the builder more memory, or make the step use less (for example fewer parallel jobs)"


class ContextError(BuildError):
    default_action = "do not change the source while it is read, or exclude the file in .dockerignore"


class BaseImageUnavailable(BuildError):
    default_action = "check the image's name; a private image needs credentials for its registry"


class BuildSourceDenied(BuildError):
    """`source`: what the build wanted, as the daemon calls it (`docker-image://…`, `https://…`)."""

    default_action = "use another source, or add a rule after that one which allows it, if you may"

    def __init__(self, cause: str, *, source: str = "", **more: Any) -> None:
        super().__init__(cause, **more)
        self.source = source


class BuildSecretMissing(BuildError):
    default_action = "pass it to the build: --secret id=NAME,src=FILE, --secret id=NAME,env=VARIABLE or --ssh default"


class OutputError(BuildError):
    default_action = "check the destination's permissions and the free space on its disk"
