"""The request of a release: one model for the command line's options, the UI's form and a deployment's parameters."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from prefect_slipway.blocks.fields import (
    BuilderPlace,
    CredentialPlace,
    GitRemote,
    SecretPlace,
    Source,
)
from prefect_slipway.flows.request.bake import Bake
from prefect_slipway.flows.request.build import Build
from prefect_slipway.flows.request.model import InsecureRegistry, RegistryCa, Request, SavedVault
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.naming import source_name
from prefect_slipway.infra.domain.platform import check_platform
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import Bump, parse_version
from prefect_slipway.infra.kubernetes.builders.options import OPTIONS_HELP

OF_ONE_IMAGE = ("image", "file", "target", "build_args", "labels", "platforms", "build")
"""The request's fields that say what one image is made of: those of several are in their files."""


class ReleaseRequest(Request):
    """One release: of an image, or with `bake` of several under one version."""

    source: Source = Field(
        default=".",
        description=(
            "Directory, git URL, archive URL, `vault:MOUNT/PATH#FIELD` of a secret archive URL (for example a "
            "presigned one), or `block:NAME` of a saved source. Default: the current directory."
        ),
    )
    ref: str | None = Field(
        default=None,
        description="Git branch, tag or commit. Leave empty for a URL's default branch, or a directory as it is.",
    )
    path: str = Field(default="", description="Directory inside the source with the build context.")
    checksum: str | None = Field(
        default=None, description="Checksum of an archive, `sha256:HEX`; required for archives."
    )
    submodules: bool = Field(default=False, description="Fetch git submodules as well.")
    allow_dirty: bool = Field(default=False, description="Allow uncommitted changes in a git work tree.")
    git_credentials: SecretPlace | None = Field(
        default=None,
        description="`vault:MOUNT/PATH` of the git server's username and password. Leave empty for anonymous access.",
    )
    source_ca: str | None = Field(
        default=None,
        description="PEM file with the git or archive server's CA. A local directory uses git's own setting instead.",
    )

    credentials: list[CredentialPlace] = Field(
        default_factory=list,
        description=(
            "`vault:MOUNT/PATH` or `block:NAME` for the image's registry, HOST=vault:MOUNT/PATH for a base image's. "
            "Leave empty for the embedded registry's own credential, or anonymous access elsewhere."
        ),
    )
    registry_ca: RegistryCa = None
    insecure_registry: InsecureRegistry = False
    vault: SavedVault = None

    bump: Bump = Field(
        default=Bump.MINOR,
        description=(
            "Part of the version to increment; `auto` reads the Conventional Commits since the last version, and so "
            "does `prerelease`, which always makes a prerelease. Default: minor."
        ),
    )
    prerelease: bool = Field(
        default=False,
        description="Release a prerelease of the version that --bump chooses: 1.3.0-rc.1 instead of 1.3.0.",
    )
    version: str | None = Field(default=None, description="Release exactly this version instead of the next one.")
    again: bool = Field(
        default=False,
        description=(
            "Release even if nothing is new: a commit that already has a version gets another one, and --bump "
            "auto releases a patch if no commit asks for more."
        ),
    )
    prerelease_token: str = Field(
        default="rc", description="Name of the prerelease series. Default: rc, as in 1.3.0-rc.1."
    )
    tag_prefix: str | None = Field(
        default=None,
        description=(
            "Prefix of the git tags with the versions, such as `v` or `app/v`. Leave empty for `v` if the source is "
            "a git repository's root, or else the registry's tags."
        ),
    )
    git_remote: GitRemote | None = Field(
        default=None,
        description=(
            "Git remote of a local repository that keeps the tags. Default: origin, if it exists; use `-` "
            "for no remote."
        ),
    )
    moving_tags: bool = Field(default=False, description="Also move the tags MAJOR, MAJOR.MINOR and latest.")

    no_cache: bool = Field(default=False, description="Do not use the build cache.")
    reproducible: bool = Field(
        default=False,
        description=(
            "Build the same digest from the same source: use the commit's time (the epoch for a directory) and git's "
            "file modes. The image's name and version count as source because labels contain them."
        ),
    )

    builder: BuilderPlace | None = Field(
        default=None,
        description=(
            "Builder: tcp://HOST:PORT, unix://PATH, docker://[PATH], `kubernetes` or `block:NAME`. Leave empty "
            "for the embedded engine."
        ),
    )
    context: str | None = Field(
        default=None, description="Kubeconfig context of the builder's cluster. Leave empty for the current one."
    )
    namespace: str | None = Field(default=None, description="Namespace of the builder. Leave empty for the context's.")
    builder_options: dict[str, str] = Field(
        default_factory=dict,
        description=f"Options of a builder in Kubernetes, each as KEY=VALUE: {OPTIONS_HELP}.",
    )
    run_labels: dict[str, str] = Field(
        default_factory=dict, description="Additional labels of the run's Kubernetes objects."
    )
    network: Literal["host", "none"] | None = Field(
        default=None, description="Network of the RUN steps. Leave empty for the builder's default."
    )
    builder_ca: str | None = Field(default=None, description="PEM file with the builder's CA; enables TLS for tcp://.")
    builder_cert: str | None = Field(default=None, description="PEM file with the client certificate for the builder.")
    builder_key: str | None = Field(default=None, description="PEM file with the client certificate's key.")
    builder_name: str | None = Field(
        default=None, description="Name in the builder's certificate, if it is not the host name."
    )

    only_new: bool = Field(
        default=False,
        description=(
            "Release only if something changed since the last version, and check this before a builder starts. Made "
            "for schedules: a run without changes succeeds."
        ),
    )
    approval: bool = Field(
        default=False,
        description="Show the plan and wait for an approval before anything is built or pushed.",
    )
    approval_timeout_s: int = Field(
        default=86_400,
        gt=0,
        description="Seconds to wait for an approval before the release fails. Default: 86400, one day.",
    )

    image: str | None = Field(
        default=None,
        description="REGISTRY/REPOSITORY without a tag. Leave empty for the source's name in the embedded registry.",
    )
    file: str = Field(
        default="Dockerfile", description="Dockerfile, relative to the build context. Default: Dockerfile."
    )
    target: str | None = Field(default=None, description="Stage to build. Leave empty for the last one.")
    build_args: dict[str, str] = Field(
        default_factory=dict, description="Values for the Dockerfile's ARGs, never secrets."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Additional labels and annotations of the image.")
    platforms: list[str] = Field(
        default_factory=list, description="Platforms, such as `linux/amd64`. Leave empty for the builder's own."
    )

    build: Build = Field(
        default_factory=Build,
        description="More options of the build: secrets, SSH, contexts, caches, attestations. Leave empty for none.",
    )
    bake: Bake | None = Field(
        default=None,
        description=(
            "Release several images: the targets of docker-bake.json or a Compose file. Leave empty for one image."
        ),
    )

    @property
    def called(self) -> str:
        """The name of a run before its image and version are known."""
        name = self.image.rpartition("/")[2] if self.image is not None else source_name(self.source, self.path)
        return f"{name} {self.version}" if self.version else name

    @property
    def run_name(self) -> str:
        """The run's name, which says that there are several images."""
        return f"set {self.called}" if self.bake is not None else self.called

    @property
    def subject(self) -> str:
        """The subject of the release: the image, or the source of several."""
        return self.image or (f"set {self.source}" if self.bake is not None else self.source)

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        """The request in short: labels and values."""
        facts = (("source", self.source), ("ref", self.ref), ("path", self.path), ("version", self.version))
        return facts if self.bake is not None else (("image", self.image), *facts)

    @field_validator("version")
    @classmethod
    def _version_is_semver(cls, value: str | None) -> str | None:
        if value is not None:
            parse_version(value)
        return value

    @field_validator("prerelease_token")
    @classmethod
    def _token_is_an_identifier(cls, value: str) -> str:
        parse_version(f"0.0.0-{value}.1")
        return value

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        if self.only_new and self.again:
            raise InvalidOption("--only-new and --again cannot be used together", action="remove one of them")
        if self.prerelease and self.version is not None:
            raise InvalidOption(
                "--prerelease has no effect with --version, which names the whole version",
                action="use the prerelease itself, e.g. --version 2.0.0-rc.1, or remove --version",
            )
        return self

    @model_validator(mode="after")
    def _client_certificate_is_complete(self) -> Self:
        if (self.builder_cert is None) != (self.builder_key is None):
            raise InvalidOption("--builder-cert and --builder-key must be used together", action="pass both or neither")
        return self

    @field_validator("platforms")
    @classmethod
    def _platforms_exist(cls, values: list[str]) -> list[str]:
        return [check_platform(platform.strip()) for value in values for platform in value.split(",")]

    @field_validator("image")
    @classmethod
    def _image_has_no_tag(cls, value: str | None) -> str | None:
        if value is not None:
            reference = ImageReference.parse(value)
            if reference.tag or reference.digest:
                raise InvalidOption(
                    f"the image {value!r} has a tag or digest, but Slipway chooses the version",
                    action="use the repository alone; choose the version with --version",
                )
        return value

    @model_validator(mode="after")
    def _a_set_is_described_by_its_files(self) -> Self:
        of_one = self.model_copy(update={"build": self.build.of_one_image})
        given = [name for name in OF_ONE_IMAGE if getattr(of_one, name) != _default(type(self), name)]
        if self.bake is not None and given:
            raise InvalidOption(
                f"{', '.join(given)} cannot be combined with bake, whose files define what is built",
                action="set them in the bake or Compose file",
            )
        return self


def _default(model: type[Request], name: str) -> object:
    return model.model_fields[name].get_default(call_default_factory=True)
