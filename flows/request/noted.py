"""The request of `slipway notes`: two ends of a history, and access to what names them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from prefect_slipway.flows.request.model import Option
from prefect_slipway.flows.request.notes import Notes
from prefect_slipway.flows.request.rollout import RegistryOptions
from prefect_slipway.infra.domain.errors import InvalidOption


class NotesRequest(RegistryOptions):
    """What is new between two versions, commits or images."""

    span: str = Field(
        default="",
        description=(
            "FROM..TO: versions, tags or commits of the source, or images (REGISTRY/REPOSITORY:VERSION). FROM alone "
            "ends at HEAD. Leave empty to begin with the last version."
        ),
    )
    source: str = Field(default=".", description="Directory in a git repository. Default: the current one.")
    tag_prefix: str | None = Field(
        default=None,
        description="Prefix of the git tags with the versions. Leave empty for the release file's, or else `v`.",
    )
    deployed: str | None = Field(
        default=None,
        description=(
            "Begin with what a workload runs: deployment/NAME, statefulset/NAME, daemonset/NAME or cronjob/NAME."
        ),
    )
    container: str | None = Field(
        default=None, description="Container of the workload. Leave empty if it has only one."
    )
    context: Annotated[str | None, Option()] = Field(
        default=None, description="Kubeconfig context. Leave empty for the current one, or the pod's own cluster."
    )
    namespace: str | None = Field(default=None, description="Namespace. Leave empty for the context's.")
    notes: Notes = Field(default_factory=Notes, description="What the notes contain, as in a release.")

    @model_validator(mode="after")
    def _one_beginning(self) -> NotesRequest:
        if self.deployed is not None and self.start:
            raise InvalidOption(
                f"--deployed says where the notes begin, and so does {self.start!r}", action="use ..TO with --deployed"
            )
        return self

    @property
    def start(self) -> str:
        return self.span.partition("..")[0].strip()

    @property
    def end(self) -> str:
        return self.span.partition("..")[2].strip()
