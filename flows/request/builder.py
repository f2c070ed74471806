"""The section of a request on the builder."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from prefect_slipway.blocks.fields import BuilderPlace
from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.kubernetes.builders.options import OPTIONS_HELP


class BuilderChoice(Request, title="Builder"):
    """Which BuildKit daemon builds, and how to reach it or create it."""

    address: Annotated[BuilderPlace | None, Option("builder")] = Field(
        default=None,
        description=(
            "Builder: tcp://HOST:PORT, unix://PATH, docker://[PATH], docker-container://NAME, `kubernetes` or "
            "`block:NAME`; several addresses, separated by commas, build each platform where it is native. Leave empty "
            "for the embedded engine."
        ),
    )
    context: str | None = Field(
        default=None, description="Kubeconfig context of the builder's cluster. Leave empty for the current one."
    )
    namespace: str | None = Field(default=None, description="Namespace of the builder. Leave empty for the context's.")
    options: Annotated[dict[str, str], Option("builder-option")] = Field(
        default_factory=dict,
        description=f"Options of a builder in Kubernetes, each as KEY=VALUE: {OPTIONS_HELP}.",
    )
    run_labels: Annotated[dict[str, str], Option("run-label")] = Field(
        default_factory=dict, description="Additional labels of the run's Kubernetes objects."
    )
    emulate: bool = Field(
        default=False,
        description=(
            "Also build platforms that no node of the builder runs natively: by emulation, which is slow, or by a "
            "Dockerfile that cross-compiles."
        ),
    )
    ca: Annotated[str | None, Option("builder-ca")] = Field(
        default=None,
        description="PEM file with the builder's CA; enables TLS for tcp://. Leave empty for none.",
    )
    cert: Annotated[str | None, Option("builder-cert")] = Field(
        default=None, description="PEM file with the client certificate for the builder. Leave empty for none."
    )
    key: Annotated[str | None, Option("builder-key")] = Field(
        default=None, description="PEM file with the client certificate's key. Leave empty for none."
    )
    name: Annotated[str | None, Option("builder-name")] = Field(
        default=None, description="Name in the builder's certificate. Leave empty for the host name."
    )

    @model_validator(mode="after")
    def _client_certificate_is_complete(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise InvalidOption("--builder-cert and --builder-key must be used together", action="pass both or neither")
        return self
