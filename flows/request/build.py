"""The section of a request on the build, with the options of `docker buildx build` that not every release needs."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from prefect_slipway.flows.build_options import entries, values
from prefect_slipway.flows.build_options.attest import attestations
from prefect_slipway.flows.build_options.beside import Beside
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.flows.request.model import Option, Request
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import byte_count
from prefect_slipway.infra.domain.secret_path import SecretField
from prefect_slipway.infra.domain.source_policy import SourcePolicy

OF_ANY_IMAGE = ("no_cache", "reproducible", "network", "provenance", "sbom", "source_policy")
"""The fields that a release of several images has as well: the others are in the set's files."""


class Build(Request):
    """How an image is built. Each entry has the syntax of the option of the same name in `docker buildx build`."""

    target: str | None = Field(default=None, description="Stage to build. Leave empty for the last one.")
    labels: Annotated[dict[str, str], Option("label")] = Field(
        default_factory=dict, description="Additional labels and annotations of the image."
    )
    no_cache: bool = Field(default=False, description="Do not use the build cache.")
    reproducible: bool = Field(
        default=False,
        description=(
            "Build the same digest from the same source: use the commit's time (the epoch for a directory) and git's "
            "file modes. The image's name and version count as source because labels contain them."
        ),
    )
    network: Literal["host", "none"] | None = Field(
        default=None,
        description="Network of the RUN steps; `host` needs `allow`. Leave empty for the builder's default.",
    )

    secrets: Annotated[list[str], Option("secret", "id=ID,vault=PLACE")] = Field(
        default_factory=list,
        description=(
            "Secrets for RUN --mount=type=secret: id=ID,vault=MOUNT/PATH#FIELD. Slipway reads each one from Vault when "
            "a step asks for it, and masks it in the output. id=ID,env=NAME and id=ID,src=FILE need `allow`."
        ),
    )
    ssh: Annotated[list[str], Option(metavar="ID=vault:PLACE")] = Field(
        default_factory=list,
        description=(
            "Keys for RUN --mount=type=ssh: ID=vault:MOUNT/PATH#FIELD. An agent or a key file (ID, ID=SOCKET|FILE) "
            "needs `allow`."
        ),
    )
    contexts: Annotated[dict[str, str], Option("build-context")] = Field(
        default_factory=dict,
        description=(
            "Additional build contexts, NAME=WHERE: a directory of the source, docker-image://REFERENCE, "
            "oci-layout://DIRECTORY, or the URL of a git repository or archive."
        ),
    )
    cache_from: Annotated[list[str], Option(metavar="CACHE")] = Field(
        default_factory=list, description="Build caches to import: REFERENCE, or type=TYPE,key=value,… each."
    )
    cache_to: Annotated[list[str], Option(metavar="CACHE")] = Field(
        default_factory=list, description="Build caches to export: REFERENCE, or type=TYPE,key=value,… each."
    )
    no_cache_filter: Annotated[list[str], Option(metavar="STAGE")] = Field(
        default_factory=list, description="Stages to build without the build cache."
    )
    pull: bool = Field(default=False, description="Always check registries for newer base images.")
    annotations: Annotated[list[str], Option("annotation", "KEY=VALUE")] = Field(
        default_factory=list, description="Annotations, [LEVEL:]KEY=VALUE. Default level: manifest."
    )
    attest: Annotated[list[str], Option(metavar="type=TYPE")] = Field(
        default_factory=list,
        description=(
            "Attestations with attributes of their own, e.g. type=provenance,mode=min,builder-id=URI or type=sbom. "
            "They win over `provenance` and `sbom`."
        ),
    )
    provenance: Literal["max", "min", "off"] | None = Field(
        default=None,
        description=(
            "Provenance to attach: how the image was built, with (`max`) or without (`min`) build arguments and steps. "
            "Leave empty for `max`, which an old builder may leave out with a warning."
        ),
    )
    sbom: str = Field(
        default="off",
        description=(
            "SBOM to attach for each platform: `on` for the builder's default generator, or a generator's image, "
            "e.g. REFERENCE@sha256:…. Default: off."
        ),
    )
    source_policy: Annotated[str | None, Option(metavar="FILE", of_file=True)] = Field(
        default=None,
        description=(
            "Source policy of the build, the text of BuildKit's JSON or Rego: what allows, denies or pins images, git "
            "repositories and URLs. The option names its file. `block:NAME` is a saved one. Leave empty to allow all."
        ),
    )
    compression: Literal["uncompressed", "gzip", "zstd", "estargz"] | None = Field(
        default=None, description="Compression of the layers. Leave empty for the builder's default, gzip."
    )
    compression_level: int | None = Field(
        default=None, ge=0, le=22, description="Compression level. Leave empty for the default of the compression."
    )
    force_compression: bool = Field(default=False, description="Compress layers of base images again, too.")
    oci_media_types: bool = Field(default=False, description="Use OCI media types instead of Docker's.")
    add_hosts: Annotated[list[str], Option("add-host", "HOST:IP")] = Field(
        default_factory=list, description="Additional host names for RUN steps, HOST:IP."
    )
    shm_size: str | None = Field(
        default=None, description="Size of /dev/shm in RUN steps, e.g. 64m. Leave empty for the builder's default."
    )
    ulimits: Annotated[list[str], Option("ulimit", "NAME=LIMIT")] = Field(
        default_factory=list, description="Limits of RUN steps, NAME=SOFT[:HARD]."
    )
    outputs: Annotated[list[str], Option("output", "type=TYPE,dest=PATH", "o")] = Field(
        default_factory=list,
        description=(
            "Outputs beside the push: type=oci,dest=FILE for an image archive, type=local,dest=DIRECTORY for the "
            "image's files. Slipway writes them when the pushed image is verified. Leave empty for none."
        ),
    )
    allow: Annotated[list[str], Option(metavar="PERMISSION")] = Field(
        default_factory=list,
        description=(
            "What the build may use beyond its source: network.host, security.insecure, ssh, env=NAME (as a secret), "
            "fs.read=PATH, fs.write=PATH. Leave empty for nothing."
        ),
    )

    @model_validator(mode="after")
    def _entries_can_be_read(self) -> Self:
        """Refuse now what the build would refuse later. Raises InvalidOption."""
        for text in self.secrets:
            entries.secret("--secret", text, ())
        for text in self.ssh:
            if entries.ssh_keys(text) is None:
                entries.ssh_agent(text)
        for name in self.contexts:
            entries.context_name(name)
        for option, caches in (("--cache-from", self.cache_from), ("--cache-to", self.cache_to)):
            _check_caches(option, caches)
        for text in self.outputs:
            Beside.read(text)
        values.image_annotations(self.annotations)
        attestations(self.attest, provenance=self.provenance, sbom=self.sbom, builder_id="")
        values.hosts(self.add_hosts)
        byte_count("--shm-size", self.shm_size or "0")
        values.ulimits("--ulimit", self.ulimits)
        Places.check(self.allow)
        if self.saved_policy is None:
            self.policy()
        return self

    def policy(self) -> SourcePolicy | None:
        """The source policy, None without one; a saved one was read before. Raises InvalidOption."""
        return SourcePolicy.read("the source policy", self.source_policy) if self.source_policy is not None else None

    @property
    def saved_policy(self) -> str | None:
        """The name of a saved source policy, None for any other."""
        text = self.source_policy or ""
        return text.removeprefix("block:") if text.startswith("block:") else None

    @property
    def in_vault(self) -> list[SecretField]:
        """What the build reads from Vault."""
        named = [entries.secret("--secret", text, ())[1] for text in self.secrets]
        keys = [key[1] for text in self.ssh if (key := entries.ssh_keys(text)) is not None]
        return [*(field for field in named if isinstance(field, SecretField)), *keys]

    @property
    def allowed(self) -> list[str]:
        """What the build may use. Of Vault, all that the request itself names: whoever writes it may read that."""
        return [*self.allow, "vault=*"]

    @property
    def attestation_options(self) -> dict[str, Any]:
        """What is set of the short forms of attestations."""
        return self.model_dump(mode="json", exclude_defaults=True, include={"provenance", "sbom"})

    @property
    def output(self) -> dict[str, str]:
        """Attributes of the image exporter (BuildKit, exporter/containerimage/opts.go)."""
        given = {
            "compression": self.compression,
            "compression-level": str(self.compression_level) if self.compression_level is not None else None,
            "force-compression": "true" if self.force_compression else None,
            "oci-mediatypes": "true" if self.oci_media_types else None,
        }
        return {name: value for name, value in given.items() if value is not None}


def _check_caches(option: str, texts: list[str]) -> None:
    for entry in entries.caches(option, texts):
        if any(re.search("secret|token|password|account_key", name) for name in entry.attributes):
            raise InvalidOption(
                f"{option}: the entry of type {entry.type} contains a credential, which would be recorded",
                action="remove it, and allow the environment variable with the credential: --allow env=NAME",
            )
