"""How an image was built, from its provenance: enough to build it again.

Everybody who may push can write a provenance, so only values that a build of the named source may have are taken over;
anything else is refused by name. Attributes: frontend/dockerui/config.go and attr.go (moby/buildkit).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.flows.run.endpoints import Network
from prefect_slipway.infra.buildkit.build.outputs import OciOutput
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.domain.errors import NotRebuildable, SlipwayError
from prefect_slipway.infra.domain.options import csv_fields, pair
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.reference import ImageReference, is_digest
from prefect_slipway.infra.domain.source_policy import SourcePolicy
from prefect_slipway.infra.registry.images import PlatformImage
from prefect_slipway.infra.registry.model import OCI_MANIFEST
from prefect_slipway.infra.signing.provenance import FILE, INLINE, PATH, Material, asked_of, provenance_of
from prefect_slipway.infra.source.checkout import Checkout

_EPOCH = "build-arg:SOURCE_DATE_EPOCH"
# What does not change the image, or is chosen by who builds again.
_PASSED_OVER = re.compile(
    r"(?:slipway|attest|vcs):.*|filename|platform|multi-platform|no-cache|cache-imports|image-resolve-mode"
    r"|force-network-mode|source|cmdline|hostname"
)
_CONTEXT = "context:"
# util/purl/image.go: familiar names, with the tag as the version and the digest as a qualifier, or as the version.
_BASE = re.compile(r"pkg:docker/(?P<name>[^@?]+)(?:@(?P<version>[^?]+))?(?:\?(?P<qualifiers>.*))?")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Of the image of one platform. `path`: of the build context in the source, `file`: of the Dockerfile in the
    context. `epoch`: SOURCE_DATE_EPOCH. `bases`: pins base images to their digests."""

    image: PlatformImage
    revision: str
    path: str
    file: str
    target: str
    args: Mapping[str, str]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    epoch: int
    contexts: Mapping[str, str]
    bases: SourcePolicy | None
    add_hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int = 0
    ulimits: tuple[str, ...] = ()

    @classmethod
    def read(cls, image: PlatformImage, predicate: Mapping[str, Any]) -> Recipe:
        """From a predicate of either of SLSA's versions. Raises NotRebuildable."""
        found, asked = provenance_of(predicate), asked_of(predicate)
        args = {key: value for key, value in asked.args.items() if isinstance(value, str)}
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", found.revision):
            changed = found.revision.endswith("-dirty")
            raise NotRebuildable(
                "the image was built from a checkout with local changes"
                if changed
                else "the image's provenance names no commit"
            )
        if not args.get(_EPOCH, "").isdecimal():
            raise NotRebuildable(
                "the image was not built to be reproducible", action="release it with --reproducible from now on"
            )
        if asked.secrets:
            raise NotRebuildable(f"the build used secrets or SSH keys ({', '.join(map(one_line, asked.secrets[:5]))})")
        local = sorted(set(asked.locals) - {"context", "dockerfile"})
        if local or args.get(FILE) == INLINE:
            raise NotRebuildable(
                "the build used " + (f"the directory {one_line(local[0])}" if local else "an inline Dockerfile")
            )
        left = dict(args)
        recipe = cls(
            image,
            found.revision,
            path=args.get(PATH, ""),
            file=args.get(FILE) or asked.entry_point or "Dockerfile",
            target=left.pop("target", ""),
            epoch=int(left.pop(_EPOCH)),
            args=dict(_taken(left, "build-arg:")),
            labels=dict(_taken(left, "label:")),
            annotations=_annotations(image),
            contexts={name: _pinned(name, place) for name, place in _taken(left, _CONTEXT)},
            bases=_pins(found.materials),
            add_hosts=tuple(pair("add-hosts", each) for each in _list(left, "add-hosts")),
            shm_size=int(size) if (size := left.pop("shm-size", "0")).isdecimal() else 0,
            ulimits=_list(left, "ulimit"),
        )
        if unknown := [key for key in left if not _PASSED_OVER.fullmatch(key)]:
            raise NotRebuildable(f"the build had options that are not known here: {one_line(', '.join(unknown[:5]))}")
        if Path(recipe.file).is_absolute() or ".." in Path(recipe.file).parts:
            raise NotRebuildable("the image's Dockerfile was outside the source")
        return recipe

    def request(self, checkout: Checkout, network: Network, folder: Path) -> BuildRequest:
        """The build, of the source that has the commit, into an OCI layout. Raises InvalidOption for a path outside of
        the source."""
        places = Places.of(checkout.path, checkout.top, ())
        context = places.path("the recorded build context", self.path or ".")
        # Not through a link either: the commit was chosen by whoever wrote the provenance.
        places.path("the recorded Dockerfile", self.file, context)
        return BuildRequest(
            context=context,
            dockerfile=Path(self.file),
            contexts=self.contexts,
            target=self.target,
            build_args=self.args,
            labels=self.labels,
            annotations=self.annotations,
            platforms=(self.image.platform,),
            no_cache=True,
            source_date_epoch=self.epoch,
            git_modes=True,
            network=network,
            source_policy=self.bases,
            add_hosts=self.add_hosts,
            shm_size=self.shm_size,
            ulimits=self.ulimits,
            outputs=(OciOutput(folder, tar=False, attributes=self._output),),
        )

    @property
    def _output(self) -> dict[str, str]:
        """As the last layer is, which is the image's own."""
        manifest = self.image.manifest
        kind = manifest.blobs[-1].media_type.rpartition("+")[2] if len(manifest.blobs) > 1 else "gzip"
        compression = kind if kind in {"gzip", "zstd"} else "uncompressed" if kind.endswith(".tar") else "gzip"
        oci = manifest.media_type == OCI_MANIFEST
        return {"rewrite-timestamp": "true", "compression": compression, "oci-mediatypes": str(oci).lower()}


def _taken(args: dict[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    for key in [key for key in args if key.startswith(prefix)]:
        yield key.removeprefix(prefix), args.pop(key)


def _list(args: dict[str, str], key: str) -> tuple[str, ...]:
    text = args.pop(key, "")
    return tuple(csv_fields(key, text)) if text else ()


def _pinned(name: str, place: str) -> str:
    if not re.fullmatch(r"docker-image://[^\s@]+@sha256:[0-9a-f]{64}", place):
        raise NotRebuildable(f"the build's context {one_line(name)} is not an image by its digest")
    return place


def _pins(materials: Iterable[Material]) -> SourcePolicy | None:
    """The base images as they were then. A named context would do the same, but BuildKit then takes their layers for
    the image's own, whose times it rewrites (v0.13)."""
    rules = []
    for material in materials:
        match = _BASE.fullmatch(material.uri)
        if match is None or not is_digest(material.digest):
            continue
        name, version = unquote(match["name"]), unquote(match["version"] or "latest")
        if "digest=" in (match["qualifiers"] or "") or ":" in version:
            continue  # the Dockerfile has the digest itself
        try:
            base = ImageReference.parse(f"{name}:{version}")
        except SlipwayError:
            raise NotRebuildable(f"the provenance names a base image that is none: {one_line(material.uri)}") from None
        place = f"docker-image://{base}"
        # `*`: Docker 26 does not convert what it finds by an exact name.
        selector, update = {"identifier": f"*{place}"}, {"identifier": f"{place}@{material.digest}"}
        rules.append({"action": "CONVERT", "selector": selector, "updates": update})
    return SourcePolicy.read("the image's base images", json.dumps({"rules": rules})) if rules else None


def _annotations(image: PlatformImage) -> dict[str, str]:
    """Of its manifest: exporters' attributes are not part of a provenance."""
    if image.manifest.media_type != OCI_MANIFEST:
        return {}
    given = image.manifest.document.get("annotations")
    named = given if isinstance(given, dict) else {}
    return {f"manifest:{key}": value for key, value in named.items() if isinstance(value, str)}
