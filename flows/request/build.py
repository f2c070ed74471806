"""The section of a request with the options of `docker buildx build` that not every release needs."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from prefect_slipway.flows.build_options import entries, values
from prefect_slipway.flows.build_options.attest import attestations
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.flows.request.model import Request
from prefect_slipway.infra.domain.options import byte_count

OF_ANY_IMAGE = ("provenance", "sbom")
"""Fields that apply to the images of a bake file as well, unless a target has its own attestations."""


class Build(Request):
    """How one image is built. Each entry has the syntax of the option of the same name in `docker buildx build`."""

    secrets: list[str] = Field(
        default_factory=list,
        description=(
            "Secrets for RUN --mount=type=secret: id=ID,vault=MOUNT/PATH#FIELD. Slipway reads each one from Vault when "
            "a step asks for it, and masks it in the output. id=ID,env=NAME and id=ID,src=FILE need `allow`."
        ),
    )
    ssh: list[str] = Field(
        default_factory=list,
        description=(
            "Keys for RUN --mount=type=ssh: ID=vault:MOUNT/PATH#FIELD. An agent or a key file (ID, ID=SOCKET|FILE) "
            "needs `allow`."
        ),
    )
    contexts: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "Additional build contexts, NAME=WHERE: a directory of the source, docker-image://REFERENCE, "
            "oci-layout://DIRECTORY, or the URL of a git repository or archive."
        ),
    )
    cache_from: list[str] = Field(
        default_factory=list, description="Build caches to import: REFERENCE, or type=…,key=value,…"
    )
    cache_to: list[str] = Field(
        default_factory=list, description="Build caches to export: REFERENCE, or type=…,key=value,…"
    )
    no_cache_filter: list[str] = Field(default_factory=list, description="Stages to build without the build cache.")
    pull: bool = Field(default=False, description="Always check registries for newer base images.")
    annotations: list[str] = Field(
        default_factory=list, description="Annotations, [LEVEL:]KEY=VALUE. Default level: manifest."
    )
    attest: list[str] = Field(
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
    compression: Literal["uncompressed", "gzip", "zstd", "estargz"] | None = Field(
        default=None, description="Compression of the layers. Leave empty for the builder's default, gzip."
    )
    compression_level: int | None = Field(
        default=None, ge=0, le=22, description="Compression level. Leave empty for the default of the compression."
    )
    force_compression: bool = Field(default=False, description="Compress layers of base images again, too.")
    oci_media_types: bool = Field(default=False, description="Use OCI media types instead of Docker's.")
    add_hosts: list[str] = Field(default_factory=list, description="Additional host names for RUN steps, HOST:IP.")
    shm_size: str | None = Field(
        default=None, description="Size of /dev/shm in RUN steps, e.g. 64m. Leave empty for the builder's default."
    )
    ulimits: list[str] = Field(default_factory=list, description="Limits of RUN steps, NAME=SOFT[:HARD].")
    allow: list[str] = Field(
        default_factory=list,
        description=(
            "What the build may use beyond its source: network.host, security.insecure, ssh, env=NAME (as a secret), "
            "fs.read=PATH."
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
        entries.caches("--cache-from", self.cache_from)
        entries.caches("--cache-to", self.cache_to)
        values.image_annotations(self.annotations)
        attestations(self.attest, provenance=self.provenance, sbom=self.sbom, builder_id="")
        values.hosts(self.add_hosts)
        byte_count("--shm-size", self.shm_size or "0")
        values.ulimits("--ulimit", self.ulimits)
        Places.check(self.allow)
        return self

    @property
    def allowed(self) -> list[str]:
        """What the build may use. Of Vault, all that the request itself names: whoever writes it may read that."""
        return [*self.allow, "vault=*"]

    @property
    def of_one_image(self) -> Build:
        """The same without what applies to the images of a bake file as well."""
        return self.model_copy(update={name: type(self).model_fields[name].default for name in OF_ANY_IMAGE})

    @property
    def of_any_image(self) -> dict[str, Any]:
        """What is set of `OF_ANY_IMAGE`."""
        return self.model_dump(mode="json", exclude_defaults=True, include=set(OF_ANY_IMAGE))

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
