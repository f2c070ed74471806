"""A fetched source, and the images to build from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prefect_slipway.flows.bake.builds import image_of, secrets_in_vault
from prefect_slipway.flows.bake.read import read_folder
from prefect_slipway.flows.bake.targets import Target, TargetSet, choose
from prefect_slipway.flows.build_options.places import ENTITLEMENTS, Places
from prefect_slipway.flows.build_options.values import hosts, platforms
from prefect_slipway.flows.request.bake import Bake
from prefect_slipway.flows.request.build import Build
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.run.sources import dockerfile_of
from prefect_slipway.flows.values.plan import SourceFacts
from prefect_slipway.infra.domain.errors import DockerfileMissing, InvalidOption
from prefect_slipway.infra.domain.platform import check_platform
from prefect_slipway.infra.domain.reference import ImageReference, repository_name
from prefect_slipway.infra.domain.secret_path import SecretField
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.lfs import archived_pointers, some_of
from prefect_slipway.infra.source.submodules import empty_submodules

if TYPE_CHECKING:
    from prefect_slipway.infra.registry.client import RegistryClient

Images = Mapping[ImageReference, "RegistryClient"]
"""The public images, in the order of the request, each with the way to its registry."""

ONE = "image"
"""The name of the only target of a release that has no bake file."""


class FetchedSource:
    """`targets`: what to build; `places`: what the build may use of this machine; `images`: by target. Prefect
    neither stores nor copies it, because it is a plain object."""

    def __init__(
        self,
        checkout: Checkout,
        targets: TargetSet,
        places: Places,
        images: Mapping[str, ImageReference],
        registries: Registries,
    ) -> None:
        self.checkout = checkout
        self.facts = source_facts(checkout)
        self.targets = targets
        self.places = places
        self.images = images
        self.registries = registries

    async def public(self) -> Images:
        return {self.images[name]: await self.registries.client(self.images[name]) for name in self.targets.wanted}


def look_into(run: OpenRun, checkout: Checkout) -> FetchedSource:
    """Find out what to build from a source; nothing, if its components do. Raises InvalidOption and
    DockerfileMissing."""
    request = run.request
    if run.components is not None:
        nothing = TargetSet({}, ())
        return FetchedSource(checkout, nothing, Places.of(checkout.path, checkout.top, ()), {}, run.registries(""))
    allowed = request.bake.allow if request.bake is not None else request.build.allowed
    places = Places.of(checkout.path, checkout.top, allowed)
    if request.bake is None:
        if not dockerfile_of(request, checkout).is_file():
            raise DockerfileMissing(f"there is no {request.file} in {_shown(checkout)}")
        targets = TargetSet({ONE: _only_target(request)}, (ONE,))
        images = {ONE: run.image(checkout.name)}
    else:
        targets = read_targets(request.bake, places)
        images = _names(request.bake, run, targets, checkout.name)
    for target in targets.targets.values():
        for platform in platforms(target.platforms):
            check_platform(platform)
    if request.build.network == "host" and not run.builder.has_only_host_network:
        places.entitlement("--network host", "network.host")
    targets = targets._replace(warnings=(*targets.warnings, *_warnings(checkout)))
    host = images[targets.wanted[0]].registry
    return FetchedSource(checkout, targets, places, images, run.registries(host))


def _warnings(checkout: Checkout) -> Iterator[str]:
    """Parts of the source that are missing in it."""
    if checkout.repository is None:
        remedy = "release the repository instead, with --submodules"
    elif checkout.temporary is None:
        remedy = "run `git submodule update --init --recursive`"
    else:
        remedy = "fetch it with --submodules"
    for name in empty_submodules(checkout.path, checkout.root):
        yield f"the submodule {name} is empty; {remedy}"
    if checkout.repository is None and (pointers := archived_pointers(checkout.path, checkout.root, os.environ)):
        yield f"LFS pointers are in place of files: {some_of(pointers)}; release the repository instead"


def read_targets(bake: Bake, places: Places) -> TargetSet:
    """Read the targets of the source's files. Raises InvalidOption."""
    return choose(read_folder(places, bake.files, bake.variables), bake.targets, bake.overrides)


def secrets_of(source: FetchedSource) -> list[SecretField]:
    """What the builds read from Vault. Raises InvalidOption for what is not allowed."""
    return [field for target in source.targets.targets.values() for field in secrets_in_vault(target, source.places)]


def source_facts(checkout: Checkout) -> SourceFacts:
    """The plain values of a checkout."""
    return SourceFacts(
        name=repository_name(checkout.name) or "source",
        path=str(checkout.path),
        fingerprint=checkout.fingerprint,
        revision=checkout.revision,
        url=checkout.source_url,
        committed_at=checkout.committed_at,
        dirty=checkout.dirty,
    )


def known_host(run: OpenRun) -> str | None:
    """The registry to push to, if it is known before the source; None if the source's files define it."""
    bake = run.request.bake
    if bake is None:
        return run.image("any").registry
    return ImageReference.parse(f"{bake.repository}/any").registry if bake.repository is not None else None


def _only_target(request: ReleaseRequest) -> Target:
    build = request.build
    return Target(
        ONE,
        dockerfile=request.file,
        target=build.target or "",
        args=request.build_args,
        labels=build.labels,
        platforms=tuple(request.platforms),
        contexts=build.contexts,
        annotations=tuple(build.annotations),
        cache_from=tuple(build.cache_from),
        cache_to=tuple(build.cache_to),
        secrets=tuple(build.secrets),
        ssh=tuple(build.ssh),
        attest=tuple(build.attest),
        pull=build.pull,
        no_cache_filter=tuple(build.no_cache_filter),
        network=build.network or "",
        shm_size=build.shm_size or "",
        ulimits=tuple(build.ulimits),
        extra_hosts=_hosts(build),
        entitlements=tuple(word for word in build.allow if word in ENTITLEMENTS),
    )


def _hosts(build: Build) -> dict[str, str]:
    """As a bake file has them: addresses by name, divided by commas."""
    found: dict[str, list[str]] = {}
    for name, address in hosts(build.add_hosts):
        found.setdefault(name, []).append(address)
    return {name: ",".join(addresses) for name, addresses in found.items()}


def _names(bake: Bake, run: OpenRun, targets: TargetSet, source: str) -> dict[str, ImageReference]:
    """Every target's image; one that was not asked for and has no tags goes beside an image that is based on it."""
    stack = run.stack.registry if run.stack is not None else None
    own = repository_name(source)
    default = f"{stack}/{own}" if stack is not None and own else None
    images: dict[str, ImageReference] = {}
    for name, target in reversed(list(targets.targets.items())):
        if name in targets.wanted or target.tags:
            images[name] = image_of(target, bake.repository, default)
        else:
            heir = next(heir for heir in targets.targets.values() if name in heir.bases.values())
            images[name] = images[heir.name]
    public = [images[name] for name in targets.wanted]
    for name in targets.wanted:
        if public.count(images[name]) > 1:
            twins = [other for other in targets.wanted if images[other] == images[name]]
            raise InvalidOption(
                f"the targets {' and '.join(twins)} are both for {images[name].name}, whose version is one image",
                action="use a different repository for each",
            )
    return images


def _shown(checkout: Checkout) -> str:
    """A fetched source by where it came from, not by the folder it was put in."""
    inside = f" below {checkout.subdirectory}" if checkout.subdirectory else ""
    return f"{checkout.source_url or 'the source'}{inside}" if checkout.temporary is not None else str(checkout.path)
