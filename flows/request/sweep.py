"""What a sweep is asked."""

from __future__ import annotations

from pydantic import Field

from prefect_slipway.flows.request.model import Request


class SweepRequest(Request):
    """The namespace to sweep."""

    context: str | None = Field(
        default=None, description="Kubeconfig context. Leave empty for the current one, or the pod's own cluster."
    )
    namespace: str | None = Field(default=None, description="Namespace to sweep. Leave empty for the context's.")

    @property
    def called(self) -> str:
        """For the run's name."""
        namespace = f"namespace {self.namespace}" if self.namespace else "the namespace"
        return f"{namespace} of {self.context}" if self.context else namespace
