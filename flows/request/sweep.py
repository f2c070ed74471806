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
        """What is swept."""
        return self.sweeping(self.namespace)

    @property
    def run_name(self) -> str:
        """The run's name until its namespace is known."""
        return f"sweep {self.called}"

    def sweeping(self, namespace: str | None) -> str:
        """The namespace for people, None: of the context."""
        what = f"namespace {namespace}" if namespace else "the current namespace"
        return f"{what} of {self.context}" if self.context else what
