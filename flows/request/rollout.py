"""What is asked of a deploy, a rollback and a promotion: the models behind options, the UI's forms and parameters."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from prefect_slipway.blocks.fields import CredentialPlace, SecretPlace
from prefect_slipway.flows.request.release import InsecureRegistry, RegistryCa, Request, SavedVault
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import ImageReference, is_digest
from prefect_slipway.infra.domain.version import image_tag, parse_version
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName

PREVIOUS = "previous"
"""What `to` says for the release before the one that runs."""


class RegistryOptions(Request):
    """How the image's registry is asked."""

    credentials: list[CredentialPlace] = Field(
        default_factory=list,
        description=(
            "`vault:MOUNT/PATH` or `block:NAME` with which Slipway asks the image's registry. Empty: the pull "
            "credentials, else the embedded registry's own, else anonymous."
        ),
    )
    registry_ca: RegistryCa = None
    insecure_registry: InsecureRegistry = False
    vault: SavedVault = None


class RolloutOptions(RegistryOptions):
    """How a rollout is watched, and what comes of a failure."""

    timeout_s: float = Field(
        default=600.0, gt=0, description="Seconds until the rollout has to be complete, then it has failed."
    )
    settle_s: float = Field(
        default=10.0,
        ge=0,
        description=(
            "Seconds for which a complete rollout has to stay so: a pod without a readiness probe counts as ready as "
            "soon as it starts."
        ),
    )
    patience_s: float = Field(
        default=60.0,
        ge=0,
        description="Seconds for which what may pass by itself is waited for: no node yet, a quota, a slow registry.",
    )
    rollback: bool = Field(
        default=True, description="Set the image that ran before back when the rollout fails or is interrupted."
    )
    approval_timeout_s: float = Field(
        default=86_400.0, gt=0, description="Seconds for which an approval is waited for; then it counts as refused."
    )


class Target(Request):
    """A container of a workload, and where it is."""

    workload: str = Field(
        description="deployment/NAME, statefulset/NAME, daemonset/NAME or cronjob/NAME.", examples=["deployment/app"]
    )
    container: str | None = Field(default=None, description="Its container. None: the only one.")
    context: str | None = Field(default=None, description="Kubeconfig context. None: the current one, or the pod's.")
    namespace: str | None = Field(default=None, description="Namespace. None: the context's.")
    pull_credentials: SecretPlace | None = Field(
        default=None,
        description=(
            "`vault:MOUNT/PATH` or `block:NAME` of what the nodes pull with: kept as a Secret beside the workload, "
            "besides the pull Secrets it has. None: none is added."
        ),
    )
    approval: bool = Field(default=False, description="Pause before the rollout until somebody approves it.")

    @field_validator("workload")
    @classmethod
    def _workload_is_one(cls, value: str) -> str:
        return str(WorkloadName.parse(value))


class TargetRequest(Target, RolloutOptions):
    """One workload, and how its rollout is watched."""

    @property
    def place(self) -> str:
        """The workload among all others; none of its parts but the context's may hold a blank."""
        return f"{self.context or ''} {self.namespace or ''} {self.workload}"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        """What is asked for, in short: label and value."""
        where = (("workload", self.workload), ("namespace", self.namespace), ("context", self.context))
        return (*where, ("container", self.container))


class DeployRequest(TargetRequest):
    """One image to one workload."""

    reference: str = Field(
        description=(
            "REGISTRY/REPOSITORY@sha256:…, or with a tag, or alone together with `version`. A tag is resolved to its "
            "digest, which alone is deployed."
        ),
        examples=["registry.example.com/team/app:1.2.3"],
    )
    version: str | None = Field(
        default=None, description="The version to deploy; with a digest: the version it was released as."
    )

    @field_validator("version")
    @classmethod
    def _version_is_semver(cls, value: str | None) -> str | None:
        if value is not None:
            parse_version(value)
        return value

    @model_validator(mode="after")
    def _image_is_one(self) -> Self:
        _check_reference(self.reference, self.version)
        return self


class RollbackRequest(TargetRequest):
    """One workload back to an earlier release."""

    to: str = Field(
        default=PREVIOUS,
        description="`previous`, a version (as the workload remembers it, else the registry's tag) or a digest.",
    )
    image: str | None = Field(
        default=None, description="REGISTRY/REPOSITORY to find the version in. None: the one of the image that runs."
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
                f"the image {value!r} carries a tag or digest", action="name the repository alone; --to says which"
            )
        return value


class Environment(Target):
    """A stage of a promotion."""

    name: str = Field(description="What people call it: dev, staging, production.")
    approval: bool = Field(default=True, description="Pause before this environment until somebody approves it.")


class PromoteRequest(RolloutOptions):
    """The same digest through environments, in their order."""

    environments: list[Environment] = Field(
        min_length=2,
        description=(
            "From the first, where the image has to be rolled out already, to the last. On the command line each is "
            "NAME:workload=deployment/app,context=…,namespace=…,container=…,pull_credentials=…,approval=true."
        ),
    )
    reference: str | None = Field(
        default=None,
        description="The image, as `slipway deploy` takes it. None: what is rolled out in the first environment.",
    )
    version: str | None = Field(default=None, description="The version to promote, with a reference without a tag.")

    @property
    def called(self) -> str:
        """What a run is called before its image is known."""
        ways = " → ".join(environment.name for environment in self.environments)
        name = self.reference.rpartition("/")[2] if self.reference is not None else self.environments[0].workload
        return f"{name}: {ways}"

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        """What is asked for, in short: label and value."""
        return (
            ("image", self.reference),
            ("version", self.version),
            *((each.name, f"{each.workload} {each.namespace or ''}".rstrip()) for each in self.environments),
        )

    @model_validator(mode="after")
    def _image_is_one(self) -> Self:
        if self.reference is not None:
            _check_reference(self.reference, self.version)
        elif self.version is not None:
            raise InvalidOption("a version needs the image it belongs to", action="name the reference as well")
        names = [each.name for each in self.environments]
        if len(set(names)) != len(names):
            raise InvalidOption("two environments have the same name", action="name each differently")
        return self


def _check_reference(text: str, version: str | None) -> None:
    reference = ImageReference.parse(text)
    if not (reference.tag or reference.digest or version):
        raise InvalidOption(
            f"{text!r} names no image: it has neither a tag nor a digest",
            action="add :TAG or @sha256:…, or name the version with --version",
        )
    if reference.tag and version and reference.tag != image_tag(parse_version(version)):
        raise InvalidOption(f"{text!r} is not version {version}", action="leave --version out")
