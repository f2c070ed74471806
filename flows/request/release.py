"""What the user asks: one model behind the command line's options, the UI's form and a deployment's parameters."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from prefect_slipway.blocks.fields import (
    BuilderPlace,
    CredentialPlace,
    GitRemote,
    SavedBlock,
    SecretPlace,
    Source,
    without_leaks,
)
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.naming import source_name
from prefect_slipway.infra.domain.platform import check_platform
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.urls import check_texts
from prefect_slipway.infra.domain.version import Bump, parse_version

# What every request that asks a registry says in the same words.
RegistryCa = Annotated[str | None, Field(description="PEM file with the CA of the registry's certificate.")]
InsecureRegistry = Annotated[
    bool, Field(description="The registry speaks plain HTTP. Loopback addresses are taken as such by themselves.")
]
SavedVault = Annotated[
    SavedBlock | None,
    Field(description="`block:NAME` of a saved Vault access. None: VAULT_ADDR, else the embedded one."),
]

_ADDRESSES = {"source", "git_remote", "builder"}

OF_ONE_IMAGE = ("image", "file", "target", "build_args", "labels", "platforms")
"""The request's fields that say what one image is made of: those of several are in their files."""


class Request(BaseModel):
    """What is asked of a flow. Every field is a plain value that may be shown: secrets are named by where they are,
    never given. What holds one is refused, and repeated nowhere.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, json_schema_extra=lambda schema: without_leaks(schema)
    )

    @model_validator(mode="before")
    @classmethod
    def _no_secret_is_given(cls, values: Any) -> Any:
        if isinstance(values, dict):
            # Addresses are looked at more closely, and say more about what to do instead.
            others = {name: value for name, value in values.items() if name not in _ADDRESSES or type(value) is not str}
            check_texts("", others)
        return values

    @classmethod
    def read(cls, values: dict[str, object]) -> Self:
        """Validate `values`; raises the UsageError that says what is wrong, instead of pydantic's collection."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidOption(f"{where}: {first['msg']}") from None


class Bake(Request):
    """Several images of one source: which files describe them, and what these may use."""

    files: list[str] = Field(
        default_factory=list,
        description=(
            "docker-bake.json and Compose files, relative to the source; later ones are laid over earlier ones. Empty: "
            "those with the usual names."
        ),
    )
    targets: list[str] = Field(
        default_factory=list, description="Targets and groups to release. Empty: the group `default`."
    )
    variables: dict[str, str] = Field(
        default_factory=dict,
        description="Values for the file's variables. No secrets. The environment is not read.",
    )
    repository: str | None = Field(
        default=None,
        description=(
            "REGISTRY/PATH for all images, each under its own name there. None: where a target's tags name it, else "
            "SOURCE/TARGET in the embedded registry."
        ),
    )
    allow: list[str] = Field(
        default_factory=list,
        description=(
            "What the file may use beyond its source: fs.read=PATH, env=NAME (as a secret), ssh, network.host, "
            "security.insecure."
        ),
    )
    parallel: int = Field(default=16, ge=1, description="How many images are built at the same time.")

    @field_validator("repository")
    @classmethod
    def _repository_is_one(cls, value: str | None) -> str | None:
        if value is not None:
            reference = ImageReference.parse(f"{value}/image")
            if value.rstrip("/") != value or reference.tag or "@" in value:
                raise InvalidOption(f"{value!r} is not REGISTRY/PATH")
        return value


class ReleaseRequest(Request):
    """One release: of an image, or with `bake` of several under one version."""

    source: Source = Field(
        default=".",
        description=(
            "Directory, git URL, archive URL, `vault:MOUNT/PATH#FIELD` of an archive URL that is a secret (a presigned "
            "one), or `block:NAME` of a saved source."
        ),
    )
    ref: str | None = Field(
        default=None,
        description="Git branch, tag or commit. None: a directory as it is, a URL's default branch.",
    )
    path: str = Field(default="", description="Directory inside the source that holds the build context.")
    checksum: str | None = Field(default=None, description="`sha256:HEX` of an archive; archives need it.")
    submodules: bool = Field(default=False, description="Fetch git submodules too.")
    allow_dirty: bool = Field(default=False, description="Release a git work tree with uncommitted changes.")
    git_credentials: SecretPlace | None = Field(
        default=None,
        description="`vault:MOUNT/PATH` of the git server's username and password. None: anonymous.",
    )
    source_ca: str | None = Field(
        default=None,
        description="PEM file with the CA of the git or archive server's certificate. A directory: git's own setting.",
    )

    credentials: list[CredentialPlace] = Field(
        default_factory=list,
        description=(
            "`vault:MOUNT/PATH` or `block:NAME` for the image's registry, HOST=vault:MOUNT/PATH for a base image's. "
            "Empty: the embedded registry's own, otherwise anonymous."
        ),
    )
    registry_ca: RegistryCa = None
    insecure_registry: InsecureRegistry = False
    vault: SavedVault = None

    bump: Bump = Field(
        default=Bump.MINOR,
        description=(
            "Which part goes up; `auto` reads the Conventional Commits since the last version, and so does "
            "`prerelease`, which always makes a prerelease."
        ),
    )
    prerelease: bool = Field(
        default=False,
        description="Release a prerelease of the version that --bump leads to: 1.3.0-rc.1 instead of 1.3.0.",
    )
    version: str | None = Field(default=None, description="Release exactly this version instead of the next one.")
    again: bool = Field(
        default=False,
        description=(
            "Release even if there is nothing new: a commit that has a version already gets another one, and --bump "
            "auto makes a patch of commits that ask for nothing."
        ),
    )
    prerelease_token: str = Field(default="rc", description="Name of a prerelease series: rc gives 1.3.0-rc.1.")
    tag_prefix: str | None = Field(
        default=None,
        description=(
            "Prefix of the git tags that hold the versions (`v`, `app/v`). None: `v` where the source is a git "
            "repository's root, and the registry's tags elsewhere."
        ),
    )
    git_remote: GitRemote | None = Field(
        default=None,
        description="Remote of a local repository that keeps the tags. None: origin where there is one; `-`: none.",
    )
    moving_tags: bool = Field(default=False, description="Also move the tags MAJOR, MAJOR.MINOR and latest.")

    no_cache: bool = Field(default=False, description="Build every step anew.")
    reproducible: bool = Field(
        default=False,
        description=(
            "Same source, same digest: times are the commit's (a directory: the epoch), files from git have git's "
            "modes. Image name and version are part of the source, as labels hold them."
        ),
    )

    builder: BuilderPlace | None = Field(
        default=None,
        description=(
            "tcp://HOST:PORT, unix://PATH, docker://[PATH], `kubernetes` or `block:NAME`. None: the embedded engine."
        ),
    )
    context: str | None = Field(default=None, description="Kubeconfig context of the builder's cluster. None: current.")
    namespace: str | None = Field(default=None, description="Namespace of the builder. None: the context's.")
    builder_options: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "Options of a builder in Kubernetes, KEY=VALUE each: lifetime (run, shared), privileged, image, "
            "pull_policy, pull_secrets, cpu, memory, cpu_limit, memory_limit, replicas, node_selector (KEY=VALUE,…), "
            "tolerations (KEY[=VALUE][:EFFECT],…), service_account, annotations (KEY=VALUE,…), cache_size, "
            "cache_persistent, storage_class, gc_limit, mirrors (HOST=MIRROR,…), plain_http (HOST,…), registry_ca "
            "(HOST=FILE,…), idle_s, ready_s, scheduling_patience_s, name."
        ),
    )
    run_labels: dict[str, str] = Field(default_factory=dict, description="Further labels of the run's objects there.")
    network: Literal["host", "none"] | None = Field(
        default=None, description="Network of the RUN steps. None: the builder's default."
    )
    builder_ca: str | None = Field(default=None, description="PEM file with the builder's CA (turns TLS on for tcp).")
    builder_cert: str | None = Field(default=None, description="PEM file with the client certificate for the builder.")
    builder_key: str | None = Field(default=None, description="PEM file with the client certificate's key.")
    builder_name: str | None = Field(default=None, description="Name in the builder's certificate, if not its host's.")

    only_new: bool = Field(
        default=False,
        description=(
            "Release only what the last version does not hold already, and look at that before a builder is made: for "
            "schedules. Nothing new is a success that says so."
        ),
    )
    approval: bool = Field(
        default=False,
        description="Show the plan and wait for somebody's approval before anything is built or pushed.",
    )
    approval_timeout_s: int = Field(
        default=86_400, gt=0, description="Seconds until a release that nobody approves ends."
    )

    image: str | None = Field(
        default=None,
        description="REGISTRY/REPOSITORY without a tag. None: the source's name in the embedded registry.",
    )
    file: str = Field(default="Dockerfile", description="The Dockerfile, relative to the build context.")
    target: str | None = Field(default=None, description="Stage to build. None: the last one.")
    build_args: dict[str, str] = Field(
        default_factory=dict, description="Values for the Dockerfile's ARGs. No secrets."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Further labels (and annotations) of the image.")
    platforms: list[str] = Field(default_factory=list, description="`linux/amd64` and so on. Empty: the builder's own.")

    bake: Bake | None = Field(
        default=None,
        description=(
            "Release several images: the targets of docker-bake.json or a Compose file, which then say what is built. "
            "None: one image."
        ),
    )

    @property
    def called(self) -> str:
        """What a run is called before its image and version are known."""
        name = self.image.rpartition("/")[2] if self.image is not None else source_name(self.source, self.path)
        return f"{name} {self.version}" if self.version else name

    @property
    def run_name(self) -> str:
        """The same for the run, which says that there are several images."""
        return f"set {self.called}" if self.bake is not None else self.called

    @property
    def subject(self) -> str:
        """What it is about: the image, or the source of several."""
        return self.image or (f"set {self.source}" if self.bake is not None else self.source)

    @property
    def shown(self) -> tuple[tuple[str, str | None], ...]:
        """What is asked for, in short: label and value."""
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
            raise InvalidOption("--only-new and --again exclude each other", action="leave one of them out")
        if self.prerelease and self.version is not None:
            raise InvalidOption(
                "--version names the whole version, so --prerelease has no meaning",
                action="name the prerelease itself, e.g. --version 2.0.0-rc.1, or leave --version out",
            )
        return self

    @model_validator(mode="after")
    def _client_certificate_is_complete(self) -> Self:
        if (self.builder_cert is None) != (self.builder_key is None):
            raise InvalidOption("--builder-cert and --builder-key go together", action="name both, or neither")
        return self

    @field_validator("platforms")
    @classmethod
    def _platforms_exist(cls, values: list[str]) -> list[str]:
        return [check_platform(one.strip()) for value in values for one in value.split(",")]

    @field_validator("image")
    @classmethod
    def _image_has_no_tag(cls, value: str | None) -> str | None:
        if value is not None:
            reference = ImageReference.parse(value)
            if reference.tag or reference.digest:
                raise InvalidOption(
                    f"the image {value!r} carries a tag or digest, but the version is Slipway's to choose",
                    action="name the repository alone; --version picks a version",
                )
        return value

    @model_validator(mode="after")
    def _a_set_is_described_by_its_files(self) -> Self:
        given = [name for name in OF_ONE_IMAGE if getattr(self, name) != _default(type(self), name)]
        if self.bake is not None and given:
            raise InvalidOption(
                f"{', '.join(given)} cannot be combined with bake: the targets of its files say what is built",
                action="write them into the bake or Compose file",
            )
        return self


def _default(model: type[Request], name: str) -> object:
    return model.model_fields[name].get_default(call_default_factory=True)
