"""A saved policy: what an image must have before it runs in an environment."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from prefect.blocks.core import Block
from pydantic import Field, model_validator

from prefect_slipway.blocks.addresses import documentation, logo
from prefect_slipway.blocks.requirements import RequiredOfAnImage
from prefect_slipway.infra.domain.errors import InvalidOption


class Policy(Block, RequiredOfAnImage):
    """What an image must have before Slipway rolls it out to certain namespaces, whoever deploys it and how.

    Each deploy, rollback and promotion into one of the namespaces is verified, without an option. Elsewhere the policy
    holds where a request names it.

    Example:
        Deploy by a policy that names no namespace:

        ```python
        from prefect_slipway import DeployRequest, deploy

        request = DeployRequest(
            reference="registry.example.com/team/app:1.2.0",
            workload="deployment/app",
            require=["block:BLOCK_NAME"],
        )
        await deploy(request)
        ```
    """

    _block_type_name = "Slipway Policy"
    _block_type_slug = "slipway-policy"
    _description = "What an image must have before it is rolled out to certain namespaces."
    _logo_url = logo("kubernetes")
    _documentation_url = documentation(_block_type_slug)

    trusted_keys: list[str] = Field(
        description=(
            "Keys of which one must have signed: vault:MOUNT/KEY, a PEM file on the machine that deploys, or the PEM "
            "itself."
        )
    )
    namespaces: list[str] = Field(
        default_factory=list,
        description="Namespaces that the policy is for; `*` stands for any characters. Leave empty to name it by hand.",
    )
    servers: list[str] = Field(
        default_factory=list,
        description=(
            "Addresses of the clusters' API servers, as the kubeconfig has them. A run inside a cluster is in all of "
            "them. Leave empty for every cluster."
        ),
    )

    @model_validator(mode="after")
    def _somebody_is_trusted(self) -> Policy:
        if not self.trusted_keys:
            raise InvalidOption("a policy needs a key that is trusted", action="add vault:MOUNT/KEY or a PEM file")
        return self

    def covers(self, server: str, namespace: str, *, in_cluster: bool) -> bool:
        """Whether it is for this namespace. `in_cluster`: the server's address is the cluster's own name for itself."""
        servers = {each.rstrip("/") for each in self.servers}
        here = not servers or in_cluster or server.rstrip("/") in servers
        return here and any(fnmatchcase(namespace, each) for each in self.namespaces)

    def request_fields(self) -> dict[str, Any]:
        """The fields of Requirements that this block sets."""
        return self.model_dump(include=set(RequiredOfAnImage.model_fields))
