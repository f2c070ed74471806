"""What a check of base images is asked."""

from __future__ import annotations

from pydantic import Field

from prefect_slipway.blocks.fields import Source
from prefect_slipway.flows.request.model import Request
from prefect_slipway.flows.request.requirements import Require


class Application(Request):
    """An application, by its release deployment, whose request supplies all fields that are empty here."""

    deployment: str = Field(description="Deployment that releases the application, FLOW/NAME.")
    image: str | None = Field(default=None, description="REGISTRY/REPOSITORY. Leave empty for the deployment's.")
    source: Source | None = Field(
        default=None, description="Directory, git URL or archive URL. Leave empty for the deployment's."
    )
    path: str | None = Field(default=None, description="Directory inside the source. Leave empty for the deployment's.")
    file: str | None = Field(default=None, description="Dockerfile. Leave empty for the deployment's.")
    require: Require = Field(
        default_factory=list,
        description=(
            "What the last release must have before its source is built again, as for `slipway deploy`. Leave empty to "
            "trust what the registry has."
        ),
    )


class BaseCheck(Request):
    """The applications to check."""

    applications: list[Application] = Field(min_length=1, description="Applications whose base images to check.")

    @property
    def subject(self) -> str:
        """All of them, by their deployments."""
        return " ".join(application.deployment for application in self.applications)

    @property
    def called(self) -> str:
        """All of them for people."""
        return ", ".join(application.deployment for application in self.applications)

    @property
    def run_name(self) -> str:
        """The run's name."""
        return f"check bases of {self.called}"
