"""What a source policy forbids of the images that a plan is based on, as far as that is known before the build."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prefect_slipway.flows.bake.targets import Target, TargetSet
from prefect_slipway.flows.build_options.entries import context_place
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.infra.domain.dockerfile import base_images
from prefect_slipway.infra.domain.errors import DockerfileInvalid, InvalidOption, InvalidReference
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.source_policy import SourcePolicy

_IMAGE = "docker-image://"
_MOST_DOCKERFILE = 1 << 20


def denied_sources(policy: SourcePolicy, targets: TargetSet, places: Places) -> list[str]:
    """A sentence for each base image and remote context that the policy denies. The daemon decides; what cannot be
    told without it (other files of the build, attributes) is left to it."""
    several = len(targets.targets) > 1
    found: dict[str, None] = {}
    for target in targets.targets.values():
        whose = f"target {target.name}: " if several else ""
        for source in _sources(target, places):
            if (rule := policy.denied_by(source)) is not None:
                found[f"{whose}the source policy denies {source} ({rule})"] = None
    return list(found)


def _sources(target: Target, places: Places) -> Iterator[str]:
    for place in (target.context, *target.contexts.values()):
        if isinstance(where := context_place(place), str):
            yield _normal(where)
    text = _dockerfile(target, places)
    contexts = {**target.contexts, **dict.fromkeys(target.bases, "")}
    with suppress(DockerfileInvalid):
        for base in base_images(
            text,
            build_args=target.args,
            target=target.target or None,
            platforms=target.platforms,
            contexts=contexts,
        ):
            yield _normal(f"{_IMAGE}{base.name}")


def _dockerfile(target: Target, places: Places) -> str:
    """Its text; "" where it is not on this machine."""
    if target.dockerfile_inline is not None:
        return target.dockerfile_inline
    if isinstance(folder := context_place(target.context), Path):
        with suppress(OSError, InvalidOption):
            path = places.path("dockerfile", target.dockerfile, places.path("context", folder))
            with path.open("rb") as file:
                return file.read(_MOST_DOCKERFILE).decode(errors="replace")
    return ""


def _normal(source: str) -> str:
    """An image as the daemon names it: with registry and tag."""
    if not source.startswith(_IMAGE):
        return source
    with suppress(InvalidReference):
        image = ImageReference.parse(source.removeprefix(_IMAGE))
        return f"{_IMAGE}{image if image.tag or image.digest else image.with_tag('latest')}"
    return source
