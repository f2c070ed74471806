"""What to build and what came of it, and how that becomes a SolveRequest of the `dockerfile.v0` frontend.

Attributes of the frontend: frontend/dockerui/config.go; of the image exporter: exporter/containerimage/exptypes/keys.go
(moby/buildkit).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flows.domain.errors import BuilderProtocolError, ContextError, DockerfileMissing, InvalidOption
from infra.buildkit.wire.control_pb2 import SolveRequest

CONTEXT_DIR = "context"
DOCKERFILE_DIR = "dockerfile"


@dataclass(frozen=True, slots=True)
class ImagePush:
    """Push the result. `name`: `registry/repository[:tag]`. `by_digest`: without a tag, so that nothing is named yet.

    `insecure`: the registry speaks plain HTTP or shows a certificate nobody vouches for. `keep`: also keep the image
    in the daemon's store. `rewrite_timestamp`: clamp file times in the layers to `source_date_epoch`.
    """

    name: str
    by_digest: bool = False
    insecure: bool = False
    keep: bool = False
    rewrite_timestamp: bool = False


@dataclass(frozen=True, slots=True)
class CacheOnly:
    """Build and keep the result in the daemon's cache alone."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One cache import or export: `type` such as registry, inline, local, gha, s3, and that type's attributes."""

    type: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BuildRequest:
    """One build. `context`: a directory, or a URL (git or HTTP) that the daemon fetches itself.

    `dockerfile`: its path, relative to the context (for a URL: within it); absolute paths may lie outside of it.
    `platforms`: `os/arch[/variant]`, empty for the daemon's own. `network`: for RUN steps, None for the daemon's
    default; `host` needs a daemon that allows it. `source_date_epoch`: seconds; times in the image's config come from
    it. `attests`: `sbom` or `provenance` and their attributes; none by default.
    """

    context: Path | str
    dockerfile: Path = Path("Dockerfile")
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    no_cache: bool = False
    network: Literal["default", "none", "host"] | None = None
    source_date_epoch: int | None = None
    output: ImagePush | CacheOnly = CacheOnly()
    cache_imports: tuple[CacheEntry, ...] = ()
    cache_exports: tuple[CacheEntry, ...] = ()
    attests: Mapping[str, str] = field(default_factory=dict)

    def directories(self) -> dict[str, Path]:
        """The directories the daemon may read, by their names. Raises ContextError or DockerfileMissing."""
        if isinstance(self.context, str):
            return {}
        if not self.context.is_dir():
            raise ContextError(f"the build context {self.context} is not a directory", action="check its path")
        dockerfile = self.context / self.dockerfile
        if not dockerfile.is_file():
            raise DockerfileMissing(f"there is no {self.dockerfile} in {self.context}")
        return {CONTEXT_DIR: self.context, DOCKERFILE_DIR: dockerfile.parent}

    def solve_request(self, ref: str, session: str) -> SolveRequest:
        """The message for Control/Solve. Raises InvalidOption for a cache entry without a type."""
        request = SolveRequest(
            Ref=ref, Session=session, Frontend="dockerfile.v0", FrontendAttrs=self._frontend_attributes()
        )
        if self.network == "host":
            request.Entitlements.append("network.host")
        if isinstance(self.output, ImagePush):
            attributes = _image_attributes(self.output, self.annotations)
            request.Exporters.add(Type="image", Attrs=attributes)
            # Daemons before v0.13 know one exporter, in these two fields.
            request.ExporterDeprecated = "image"
            request.ExporterAttrsDeprecated.update(attributes)
        for entries, target in (
            (self.cache_imports, request.Cache.Imports),
            (self.cache_exports, request.Cache.Exports),
        ):
            for entry in entries:
                if not entry.type:
                    raise InvalidOption("a cache entry needs a type", action="e.g. type=registry,ref=…")
                target.add(Type=entry.type, Attrs=dict(entry.attributes))
        return request

    def _frontend_attributes(self) -> dict[str, str]:
        attributes = {
            "filename": self.dockerfile.name if isinstance(self.context, Path) else str(self.dockerfile),
            **{f"build-arg:{key}": value for key, value in self.build_args.items()},
            **{f"label:{key}": value for key, value in self.labels.items()},
            **{f"attest:{key}": value for key, value in self.attests.items()},
        }
        if isinstance(self.context, str):
            attributes["context"] = self.context
        if self.target:
            attributes["target"] = self.target
        if self.platforms:
            attributes["platform"] = ",".join(self.platforms)
        if self.no_cache:
            attributes["no-cache"] = ""
        if self.network is not None:
            attributes["force-network-mode"] = self.network
        if self.source_date_epoch is not None:
            attributes["build-arg:SOURCE_DATE_EPOCH"] = str(self.source_date_epoch)
        return attributes


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """`digest`: of the manifest or index that was pushed, "" without an image. `steps`/`cached_steps`: how many there
    were and how many of them came from the cache. `response`: all that the exporter said."""

    digest: str
    config_digest: str
    media_type: str
    size: int
    names: tuple[str, ...]
    steps: int
    cached_steps: int
    response: Mapping[str, str]

    @classmethod
    def from_response(cls, response: Mapping[str, str], *, steps: int, cached_steps: int) -> BuildOutcome:
        """Read Solve's ExporterResponse. Raises BuilderProtocolError if its descriptor is none."""
        descriptor = {}
        if encoded := response.get("containerimage.descriptor"):
            try:
                descriptor = json.loads(base64.b64decode(encoded))
            except (binascii.Error, ValueError) as error:
                raise BuilderProtocolError("the daemon's image descriptor cannot be read") from error
        return cls(
            digest=response.get("containerimage.digest", ""),
            config_digest=response.get("containerimage.config.digest", ""),
            media_type=str(descriptor.get("mediaType", "")),
            size=int(descriptor.get("size", 0)),
            names=tuple(name for name in response.get("image.name", "").split(",") if name),
            steps=steps,
            cached_steps=cached_steps,
            response=dict(response),
        )


def _image_attributes(push: ImagePush, annotations: Mapping[str, str]) -> dict[str, str]:
    attributes = {"name": push.name, "push": "true"}
    if push.by_digest:
        attributes["push-by-digest"] = "true"
    if push.insecure:
        attributes["registry.insecure"] = "true"
    if not push.keep:
        attributes["store"] = "false"
    if push.rewrite_timestamp:
        attributes["rewrite-timestamp"] = "true"
    attributes.update({f"annotation.{key}": value for key, value in annotations.items()})
    if annotations:
        # Docker's media types have no place for annotations.
        attributes["oci-mediatypes"] = "true"
    return attributes
