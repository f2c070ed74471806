"""The requests of a deploy, a rollback and a promotion: models for options, the UI's forms and parameters."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from prefect_slipway.blocks.fields import CredentialPlace, SecretPlace, SemanticVersion, Workload
from prefect_slipway.flows.request.credentials import RegistryAccess
from prefect_slipway.flows.request.model import InsecureRegistry, Option, RegistryCa, Request, SavedVault
from prefect_slipway.flows.request.requirements import Require
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.naming import image_title, place_title
from prefect_slipway.infra.domain.reference import ImageReference, is_digest
from prefect_slipway.infra.domain.version import image_tag, parse_version

PREVIOUS = "previous"
"""What `to` says for the release before the one that runs."""


class RegistryOptions(Request):
    """Access to the image's registry."""

    credentials: Annotated[list[CredentialPlace], Option(metavar="WHERE")] = Field(
        default_factory=list,
        description=(
            "`vault:MOUNT/PATH` or `block:NAME` that Slipway uses at the image's registry. Leave empty for the pull "
            "credentials, the embedded registry's own credential, or anonymous access."
        ),
    )
    registry_ca: RegistryCa = None
    insecure_registry: InsecureRegistry = False
    vault: SavedVault = None

    @property
    def access(self) -> RegistryAccess:
        """The same as a section of a release has it."""
        return RegistryAccess(
            registries=self.credentials,
            vault=self.vault,
            registry_ca=self.registry_ca,
            insecure_registry=self.insecure_registry,
        )


class CheckedOptions(RegistryOptions):
    """What is asked of the image, and of people, before anything is changed."""

    approval_timeout_s: float = Field(
        default=86_400.0,
        gt=0,
        description="Seconds to wait for an approval before the run fails. Default: 86400, one day.",
    )
    require: Require = Field(
        default_factory=list,
        description=(
            "What the image must have before anything is changed: keys of which one must have signed it "
            "(`vault:MOUNT/KEY` or a PEM file), and `provenance`, `sbom`, `source=URL`, `ref=REF`, `gate=NAME`, "
            "`max-age=AGE` or `rebuilt` as for `slipway verify`; or `block:NAME` of a saved policy. The namespace's "
            "policies hold in any case."
        ),
    )

    @property
    def vault_places(self) -> list[str | None]:
        """What is read beside the registry's credentials: places in Vault, saved blocks, None for nothing."""
        return []


class RolloutOptions(CheckedOptions):
    """How to watch a rollout, and what to do about a failure."""

    timeout_s: float = Field(
        default=600.0, gt=0, description="Seconds within which the rollout must be complete. Default: 600."
    )
    settle_s: float = Field(
        default=10.0,
        ge=0,
        description=(
            "Seconds for which a complete rollout must stay complete, because a pod without a readiness probe is "
            "ready as soon as it starts. Default: 10."
        ),
    )
    patience_s: float = Field(
        default=60.0,
        ge=0,
        description=(
            "Seconds to wait for problems that may resolve themselves, such as a missing node, a quota or a "
            "slow registry. Default: 60."
        ),
    )
    rollback: bool = Field(
        default=True, description="Restore the previous image if the rollout fails or is interrupted."
    )


class Target(Request):
    """A container of a workload, and where it is."""

    workload: Workload = Field(
        description="Workload: deployment/NAME, statefulset/NAME, daemonset/NAME or cronjob/NAME.",
        examples=["deployment/app"],
    )
    container: str | None = Field(
        default=None, description="Container of the workload. Leave empty if it has only one."
    )
    context: str | None = Field(
        default=None, description="Kubeconfig context. Leave empty for the current one, or the pod's own cluster."
    )
    namespace: str | None = Field(default=None, description="Namespace. Leave empty for the context's.")
    pull_credentials: SecretPlace | None = Field(
        default=None,
        description=(
            "`vault:MOUNT/PATH` or `block:NAME` of the nodes' pull credentials, which are stored in a Secret next to "
            "the workload. Leave empty to use only the workload's own pull Secrets."
        ),
    )
    approval: bool = Field(default=False, description="Wait for an approval before the rollout.")


class TargetRequest(Target, RolloutOptions):
    """One workload, and how its rollout is watched."""

    @property
    def place(self) -> str:
        """The workload among all others; none of its parts but the context's may hold a blank."""
        return f"{self.context or ''} {self.namespace or ''} {self.workload}"

    @property
    def place_title(self) -> str:
        """The same for people."""
        return place_title(self.workload, self.namespace, self.context, self.container)

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        """The request in short: labels and values."""
        where = (("workload", self.workload), ("namespace", self.namespace), ("context", self.context))
        return (*where, ("container", self.container))

    @property
    def vault_places(self) -> list[str | None]:
        return [self.pull_credentials]


class OneImage(Request):
    """The image of a deploy."""

    reference: str = Field(
        description=(
            "REGISTRY/REPOSITORY@sha256:…, REGISTRY/REPOSITORY:TAG, or REGISTRY/REPOSITORY with `version`. A tag is "
            "resolved to its digest, and the digest is deployed."
        ),
        examples=["registry.example.com/team/app:1.2.3"],
    )
    version: SemanticVersion | None = Field(
        default=None, description="Version to deploy; with a digest, the version that it was released as."
    )

    @model_validator(mode="after")
    def _image_is_one(self) -> Self:
        check_reference(self.reference, self.version)
        return self


class DeployRequest(OneImage, TargetRequest):
    """One image to one workload."""

    @property
    def run_name(self) -> str:
        """The run's name until the workload was looked at."""
        return f"deploy {reference_title(self.reference, self.version)} to {self.place_title}"


class EarlierRelease(Request):
    """The release that a rollback returns to."""

    to: str = Field(
        default=PREVIOUS,
        description="Release to return to: `previous`, a version or a digest. Default: previous.",
    )
    image: str | None = Field(
        default=None, description="REGISTRY/REPOSITORY of the version. Leave empty for the running image's."
    )

    @field_validator("to")
    @classmethod
    def _to_is_known(cls, value: str) -> str:
        if value != PREVIOUS and not is_digest(value):
            parse_version(value)
        return value

    @field_validator("image")
    @classmethod
    def _image_is_bare(cls, value: str | None) -> str | None:
        if value is not None and (ImageReference.parse(value).tag or ImageReference.parse(value).digest):
            raise InvalidOption(
                f"the image {value!r} has a tag or digest",
                action="use the repository alone; choose the release with --to",
            )
        return value


class RollbackRequest(EarlierRelease, TargetRequest):
    """Return one workload to an earlier release."""

    @property
    def run_name(self) -> str:
        """The run's name until the release is found."""
        return f"roll back {self.place_title} to {self.to}"


class Environment(Target):
    """A stage of a promotion."""

    name: str = Field(description="Name of the environment, such as dev, staging or production.")
    approval: bool = Field(default=True, description="Wait for an approval before this environment. Default: true.")


class Promotion(Request):
    """What goes through which environments."""

    environments: list[Any] = Field(min_length=2, description="Environments in order.")
    reference: str | None = Field(
        default=None,
        description="Image to promote, as for `slipway deploy`. Leave empty for the image in the first environment.",
    )
    version: SemanticVersion | None = Field(
        default=None, description="Version to promote; needs a reference without a tag."
    )

    @property
    def way(self) -> str:
        return " → ".join(each.name for each in self.environments)

    @model_validator(mode="after")
    def _image_is_one(self) -> Self:
        if self.reference is not None:
            check_reference(self.reference, self.version)
        elif self.version is not None:
            raise InvalidOption("a version needs its image", action="add the reference as well")
        if len({each.name for each in self.environments}) < len(self.environments):
            raise InvalidOption("two environments have the same name", action="use different names")
        return self


class PromoteRequest(Promotion, RolloutOptions):
    """The same digest through environments, in their order."""

    environments: Annotated[list[Environment], Option("environment", "ENVIRONMENT")] = Field(
        min_length=2,
        description=(
            "Environments in order; the image must already be rolled out in the first one. On the command line: "
            "NAME:workload=deployment/app,context=…,namespace=…,container=…,pull_credentials=…,approval=true."
        ),
    )

    @property
    def called(self) -> str:
        """What is promoted where, before the image is known."""
        first = self.environments[0]
        if self.reference is not None:
            return self.promoting(reference_title(self.reference, self.version))
        return self.promoting(place_title(first.workload, first.namespace, first.context, first.container))

    @property
    def run_name(self) -> str:
        """The run's name until its image is known."""
        return f"promote {self.called}"

    def promoting(self, image: str) -> str:
        """The image's way through the environments."""
        return f"{image}: {self.way}"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        """The request in short: labels and values."""
        return (
            ("image", self.reference),
            ("version", self.version),
            *((each.name, f"{each.workload} {each.namespace or ''}".rstrip()) for each in self.environments),
        )

    @property
    def vault_places(self) -> list[str | None]:
        return [each.pull_credentials for each in self.environments]


def reference_title(reference: str, version: str | None) -> str:
    """For the names of runs."""
    return f"{image_title(ImageReference.parse(reference).name)} {version}" if version else image_title(reference)


def check_reference(text: str, version: str | None) -> None:
    """Raises InvalidOption for what names no image alone."""
    reference = ImageReference.parse(text)
    if not (reference.tag or reference.digest or version):
        raise InvalidOption(
            f"{text!r} has neither a tag nor a digest",
            action="add :TAG or @sha256:…, or choose the version with --version",
        )
    if reference.tag and version and reference.tag != image_tag(parse_version(version)):
        raise InvalidOption(f"{text!r} is not version {version}", action="remove --version")
