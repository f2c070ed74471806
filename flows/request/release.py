"""The request of a release: one model for the command line's options, the UI's form and a deployment's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from prefect_slipway.blocks.fields import ImageName, Source
from prefect_slipway.flows.request.approval import Approval
from prefect_slipway.flows.request.bake import Bake
from prefect_slipway.flows.request.build import OF_ANY_IMAGE, Build
from prefect_slipway.flows.request.builder import BuilderChoice
from prefect_slipway.flows.request.cache import Cache
from prefect_slipway.flows.request.checkout import Checkout
from prefect_slipway.flows.request.component import ComponentChoice
from prefect_slipway.flows.request.config import Config
from prefect_slipway.flows.request.credentials import RegistryAccess
from prefect_slipway.flows.request.forge import ForgeChoice
from prefect_slipway.flows.request.gates import Gates
from prefect_slipway.flows.request.git_target import GitTarget
from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.flows.request.notes import Notes
from prefect_slipway.flows.request.trust import Trust
from prefect_slipway.flows.request.version import VersionChoice
from prefect_slipway.infra.domain.errors import InvalidOption, RequestOutdated
from prefect_slipway.infra.domain.naming import image_title, source_name, source_place
from prefect_slipway.infra.domain.platform import check_platform
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.version import Bump

OF_ONE_IMAGE = (
    "image",
    "file",
    "build_args",
    "platforms",
    "components",
    *(f"build.{name}" for name in Build.model_fields if name not in OF_ANY_IMAGE),
)
"""The request's fields that say what one image is made of: those of several are in their files."""

# Where the fields are that a request had before it had sections.
_MOVED = {
    **{name: f"checkout.{name}" for name in ("ref", "path", "checksum", "submodules", "allow_dirty")},
    "git_credentials": "checkout.credentials",
    "source_ca": "checkout.ca",
    "version": "version.exact",
    **{
        name: f"version.{name}"
        for name in ("prerelease", "prerelease_token", "again", "only_new", "tag_prefix", "git_remote", "moving_tags")
    },
    **{name: f"build.{name}" for name in ("target", "labels", "no_cache", "reproducible", "network")},
    "builder": "builder.address",
    **{name: f"builder.{name}" for name in ("context", "namespace", "run_labels")},
    "builder_options": "builder.options",
    **{f"builder_{name}": f"builder.{name}" for name in ("ca", "cert", "key", "name")},
    "credentials": "credentials.registries",
    **{name: f"credentials.{name}" for name in ("vault", "registry_ca", "insecure_registry")},
    "approval": "approval.required",
    "approval_timeout_s": "approval.timeout_s",
}


class ReleaseRequest(Request):
    """One release: of an image, or with `bake` of several under one version."""

    source: Source = Field(
        default=".",
        description=(
            "Directory, git URL, archive URL, `vault:MOUNT/PATH#FIELD` of a secret archive URL (for example a "
            "presigned one), or `block:NAME` of a saved source. Default: the current directory."
        ),
    )
    image: Annotated[ImageName | None, Option(letter="t")] = Field(
        default=None,
        description="REGISTRY/REPOSITORY without a tag. Leave empty for the source's name in the embedded registry.",
    )
    bump: Bump = Field(
        default=Bump.MINOR,
        description=(
            "Part of the version to increment; `auto` reads the Conventional Commits since the last version, and so "
            "does `prerelease`, which always makes a prerelease. Default: minor."
        ),
    )
    file: Annotated[str, Option(letter="f")] = Field(
        default="Dockerfile", description="Dockerfile, relative to the build context. Default: Dockerfile."
    )
    build_args: Annotated[dict[str, str], Option("build-arg")] = Field(
        default_factory=dict, description="Values for the Dockerfile's ARGs, never secrets."
    )
    platforms: Annotated[list[str], Option("platform", "PLATFORM")] = Field(
        default_factory=list, description="Platforms, such as `linux/amd64`. Leave empty for the builder's own."
    )

    checkout: Checkout = Field(
        default_factory=Checkout, description="Which revision of the source to read, and how to get it."
    )
    version: VersionChoice = Field(
        default_factory=VersionChoice, description="Which version to release, and where versions are kept."
    )
    build: Build = Field(default_factory=Build, description="How to build, with the options of `docker buildx build`.")
    builder: BuilderChoice = Field(
        default_factory=BuilderChoice, description="Which BuildKit daemon builds, and how to reach or create it."
    )
    credentials: RegistryAccess = Field(
        default_factory=RegistryAccess,
        description="Where Vault keeps the registries' credentials, and how to connect to the image's registry.",
    )
    approval: Approval = Field(
        default_factory=Approval, description="Whether the release waits until somebody approves its plan."
    )
    trust: Trust = Field(default_factory=Trust, description="Who signs the image before it gets its tag.")
    gates: Gates = Field(default_factory=Gates, description="What checks the image before it gets its tag.")
    notes: Notes = Field(default_factory=Notes, description="Release notes: what has changed since the last version.")
    forge: ForgeChoice = Field(
        default_factory=ForgeChoice,
        description="Release on GitHub, GitLab, Gitea or Forgejo, made when the images are public.",
    )
    deploy: dict[str, GitTarget] = Field(
        default_factory=dict,
        description=(
            "Places in git repositories that a cluster follows, which get the image when it is public: a table each, "
            "by a name such as production. On the command line: NAME:git=URL,branch=…,path=…,kind=…,credentials=…."
        ),
    )
    cache: Cache = Field(
        default_factory=Cache,
        description=(
            "Build cache in the registry. Leave empty for one if the builder is created for this release, else none."
        ),
    )
    config: Config = Field(
        default_factory=Config, description="What the release file `slipway.toml` in the source may choose."
    )
    components: ComponentChoice = Field(
        default_factory=ComponentChoice, description="Which components of the release file to release."
    )
    bake: Bake | None = Field(
        default=None,
        description=("Release several images: the targets of a bake or Compose file. Leave empty for one image."),
    )

    @property
    def build_options(self) -> dict[str, Any]:
        """The options of the build in force: those that are not the default. Permissions, labels and the source
        policy are not among them."""
        usual = self.model_dump(mode="json", include={"file", "build_args", "platforms"}, exclude_defaults=True)
        return usual | self.build.model_dump(
            mode="json", exclude={"allow", "labels", "source_policy"}, exclude_defaults=True
        )

    @property
    def called(self) -> str:
        """What is released, before its version is known: the image without its registry, or the source's name."""
        name = image_title(self.image) if self.image is not None else source_name(self.source, self.checkout.path)
        return f"{name} {self.version.exact}" if self.version.exact else name

    @property
    def run_name(self) -> str:
        """The run's name until its version is known; it says that there are several images."""
        return f"release {'set ' if self.bake is not None else ''}{self.called}"

    @property
    def subject(self) -> str:
        """The subject of the release: the image, or the source of several."""
        source = source_place(self.source)
        return self.image or (f"set {source}" if self.bake is not None else source)

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        """The request in short: labels and values."""
        checkout = self.checkout
        facts = (
            ("source", self.source),
            ("ref", checkout.ref),
            ("path", checkout.path),
            ("version", self.version.exact),
        )
        return facts if self.bake is not None else (("image", self.image), *facts)

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
        if self.bake is not None and (given := [name for name in OF_ONE_IMAGE if self._is_given(name)]):
            raise InvalidOption(
                f"{', '.join(given)} cannot be combined with bake, whose files define what is built",
                action="set them in the bake or Compose file",
            )
        return self

    def _is_given(self, name: str) -> bool:
        section, _, field = name.rpartition(".")
        model: Request = getattr(self, section) if section else self
        return bool(getattr(model, field) != type(model).model_fields[field].get_default(call_default_factory=True))

    @classmethod
    def check_shape(cls, values: Mapping[str, Any]) -> None:
        """Raises RequestOutdated for the fields of before there were sections."""
        moved = [
            f"`{name}` is now `{place}`"
            for name, place in _MOVED.items()
            if name in values and (cls.section(name) is None or not isinstance(values[name], Mapping | Request))
        ]
        if moved:
            raise RequestOutdated(f"the request has the fields of an earlier version: {', '.join(moved)}")
