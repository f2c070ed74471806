"""What the user asks of a release of several images: one model for command line, form and deployments."""

from __future__ import annotations

from pydantic import Field, field_validator

from prefect_slipway.flows.request.release import ReleaseOptions, ReleaseRequest
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import ImageReference


class SetRequest(ReleaseOptions):
    """One release of several images, described by a docker-bake.json or a Compose file in the source."""

    files: list[str] = Field(
        default_factory=list,
        description=(
            "docker-bake.json and Compose files, relative to the source; later ones are laid over earlier ones. Empty: "
            "those with the usual names."
        ),
    )
    targets: list[str] = Field(
        default_factory=list, description="Targets and groups to release. Empty: the group `default`."
    )
    variables: dict[str, str] = Field(
        default_factory=dict,
        description="Values for the file's variables. No secrets. The environment is not read.",
    )
    repository: str | None = Field(
        default=None,
        description=(
            "REGISTRY/PATH for all images, each under its own name there. None: where a target's tags name it, else "
            "SOURCE/TARGET in the embedded registry."
        ),
    )
    allow: list[str] = Field(
        default_factory=list,
        description=(
            "What the file may use beyond its source: fs.read=PATH, env=NAME (as a secret), ssh, network.host, "
            "security.insecure."
        ),
    )
    parallel: int = Field(default=16, ge=1, description="How many images are built at the same time.")

    @field_validator("repository")
    @classmethod
    def _repository_is_one(cls, value: str | None) -> str | None:
        if value is not None:
            reference = ImageReference.parse(f"{value}/image")
            if value.rstrip("/") != value or reference.tag or "@" in value:
                raise InvalidOption(f"{value!r} is not REGISTRY/PATH")
        return value

    def as_release(self) -> ReleaseRequest:
        """What of it concerns all images alike, as the steps that both kinds of release share read it."""
        return ReleaseRequest.read(self.model_dump(include=set(ReleaseOptions.model_fields)))
