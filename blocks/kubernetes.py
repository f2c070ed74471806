"""A saved builder in Kubernetes: created for each release, or shared and kept warm."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block
from pydantic import Field

from prefect_slipway.blocks.addresses import documentation, logo
from prefect_slipway.infra.kubernetes.builders.options import OPTIONS_HELP


class KubernetesBuilder(Block):
    """A BuildKit daemon in a cluster. The cluster is reached by the worker's kubeconfig or service account.

    Example:
        Release an image that is built there:

        ```python
        from prefect_slipway import ReleaseRequest, release

        request = ReleaseRequest(
            source="https://git.example.com/app.git",
            image="registry.example.com/team/app",
            credentials={"registries": ["vault:secret/registry"]},
            builder={"address": "block:BLOCK_NAME"},
        )
        await release(request)
        ```
    """

    _block_type_name = "Slipway Kubernetes Builder"
    _block_type_slug = "slipway-kubernetes-builder"
    _description = "A BuildKit daemon that Slipway creates in a Kubernetes cluster."
    _logo_url = logo("kubernetes")
    _documentation_url = documentation(_block_type_slug)

    context: str | None = Field(
        default=None, description="Kubeconfig context. Leave empty for the current one, or the pod's own cluster."
    )
    namespace: str | None = Field(default=None, description="Namespace. Leave empty for the context's.")
    options: dict[str, str] = Field(
        default_factory=dict,
        description=f"Options as for --builder-option: {OPTIONS_HELP}.",
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Additional labels of the run's objects.")

    def request_fields(self) -> dict[str, Any]:
        """The fields of a release request that this block sets."""
        return {
            "builder": {
                "address": "kubernetes",
                "context": self.context,
                "namespace": self.namespace,
                "options": self.options,
                "run_labels": self.labels,
            },
        }
