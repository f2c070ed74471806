"""A place in a git repository that names an image: a table of a release's `deploy`, and a section of other requests."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from prefect_slipway.blocks.fields import (
    CommitSigner,
    ForgeUrl,
    GitRemote,
    ImageName,
    SecretPlace,
    TokenPlace,
    Workload,
)
from prefect_slipway.flows.request.forge import ForgeKind
from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption

_AUTHOR = re.compile(r"(?P<name>[^<>\x00-\x1f]*[^<>\s\x00-\x1f]) <(?P<email>[^<>\s\x00-\x1f]+)>")

Part = Literal["reference", "repository", "registry", "tag", "digest"]
Kind = Literal["kustomize", "helm", "manifest", "marker"]


class GitTarget(Request, title="Git"):
    """A place in a git repository that a cluster follows, and the workload that follows it."""

    repository: Annotated[GitRemote, Option("git", "URL")] = Field(
        description="Git repository that a cluster follows, in which the image is written.",
        examples=["https://git.example.com/team/config.git"],
    )
    branch: Annotated[str, Option("git-branch")] = Field(default="main", description="Branch. Default: main.")
    path: Annotated[str, Option("git-path")] = Field(
        default="", description="File or directory in the repository. Leave empty for its top.", examples=["apps/app"]
    )
    kind: Annotated[Kind, Option("git-kind")] = Field(
        default="kustomize",
        description=(
            "What the files are: a kustomization, a Helm chart's values, manifests (YAML or JSON) whose containers run "
            "the image, or any YAML with an image policy's `marker`. Default: kustomize."
        ),
    )
    image_name: Annotated[str | None, Option("git-name", "NAME")] = Field(
        default=None,
        description="What the files call the image: of `images` in a kustomization, of a container's `image`. Leave "
        "empty for the image's own name.",
    )
    values: Annotated[dict[str, Part], Option("git-value")] = Field(
        default_factory=dict,
        description=(
            "Helm values and what belongs there: `reference` (NAME:TAG@DIGEST), `repository`, `registry`, `tag` or "
            "`digest`, e.g. `web.image.tag=tag`. Leave empty for those below `image`."
        ),
    )
    policy: Annotated[str | None, Option("git-policy", "NAMESPACE:NAME")] = Field(
        default=None, description="Image policy of the markers, e.g. `flux-system:app`."
    )
    pull_request: Annotated[bool, Option("git-pull-request")] = Field(
        default=False,
        description="Push to a branch of its own instead of to the branch. With a forge token, open a pull request.",
    )
    forge_token: Annotated[TokenPlace | None, Option("git-forge-token", "vault:MOUNT/PATH")] = Field(
        default=None,
        description=(
            "`vault:MOUNT/PATH` of a secret whose field `token` is the forge's; `#FIELD` behind it names another one. "
            "Leave empty to open pull requests yourself."
        ),
    )
    forge: Annotated[ForgeKind | None, Option("git-forge")] = Field(
        default=None, description="Kind of forge. Leave empty if the host's name or the API's path tells."
    )
    forge_url: Annotated[ForgeUrl | None, Option("git-forge-url", "URL")] = Field(
        default=None, description="URL of the forge's REST API. Leave empty for that of the repository's host."
    )
    forge_repository: Annotated[str | None, Option("git-forge-repository", "OWNER/NAME")] = Field(
        default=None, description="Repository on the forge. Leave empty for the path of the repository's URL."
    )
    credentials: Annotated[SecretPlace | None, Option("git-credentials")] = Field(
        default=None,
        description=(
            "`vault:MOUNT/PATH` of the git server's `username` and `password`, or for ssh of its `ssh_key` and "
            "`known_hosts`. Leave empty for the user's own ssh keys."
        ),
    )
    ca: Annotated[str | None, Option("git-ca", "FILE")] = Field(
        default=None, description="PEM file with the git server's CA. Leave empty for the system's CAs."
    )
    author: Annotated[str | None, Option("git-author", "NAME <EMAIL>")] = Field(
        default=None, description="Author of the commit. Default: Slipway <slipway@invalid>."
    )
    sign: Annotated[CommitSigner | None, Option("git-sign", "vault:PLACE")] = Field(
        default=None,
        description=(
            "Key that signs the commit: `vault:MOUNT/KEY` of Vault's Transit engine, or `vault:MOUNT/PATH#FIELD` of an "
            "SSH private key. Leave empty for no signature."
        ),
    )
    image: ImageName | None = Field(
        default=None, description="Image that is written there, of a release of several. Leave empty for the only one."
    )
    workload: Workload | None = Field(
        default=None,
        description="Workload to wait for until it runs the image, e.g. deployment/app. Leave empty not to wait.",
    )
    container: str | None = Field(
        default=None, description="Container of the manifests and of the workload. Leave empty if it has only one."
    )
    context: str | None = Field(default=None, description="Kubeconfig context of the workload.")
    namespace: str | None = Field(default=None, description="Namespace of the workload.")
    timeout_s: float = Field(default=600.0, gt=0, description="Seconds to wait for the workload. Default: 600.")

    @field_validator("author")
    @classmethod
    def _author_has_an_address(cls, value: str | None) -> str | None:
        if value is not None and _AUTHOR.fullmatch(value) is None:
            raise InvalidOption(f"the author {value!r} has no e-mail address", action="write NAME <EMAIL>")
        return value

    @model_validator(mode="after")
    def _a_token_is_for_a_pull_request(self) -> Self:
        if self.forge_token is not None and not self.pull_request:
            raise InvalidOption("a forge's token opens pull requests", action="add pull_request (--git-pull-request)")
        return self

    @model_validator(mode="after")
    def _a_marker_has_a_policy(self) -> Self:
        if (self.kind == "marker") != (self.policy is not None):
            raise InvalidOption(
                "the kind marker and a policy belong together", action="set both: --git-kind marker --git-policy"
            )
        return self

    @property
    def named_author(self) -> tuple[str, str] | None:
        """Name and address."""
        found = _AUTHOR.fullmatch(self.author or "")
        return (found["name"], found["email"]) if found is not None else None

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.path or 'the top'} of {self.repository} ({self.branch})"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        """The same as labels and values."""
        return (("repository", self.repository), ("branch", self.branch), ("path", self.path))

    @property
    def vault_places(self) -> list[str | None]:
        """What has to be in Vault before it is written to."""
        return [self.credentials, self.sign.partition("#")[0] if self.sign else None]
