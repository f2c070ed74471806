"""From a target to what BuildKit is asked for, and to the image that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from flows import build_values
from flows.bake.places import Places
from flows.bake.targets import Target
from flows.domain.errors import InvalidOption
from flows.domain.plan import ReleasePlan
from flows.domain.reference import ImageReference, repository_name
from infra.buildkit import BuildRequest, CacheEntry, ImagePush, SecretEnv, SecretFile, SecretSource, SshSource

Network = Literal["default", "host", "none"]

# What allows a cache of this type what it finds in this machine's environment: a file could name any server for it.
_CACHE_SECRETS = {"gha": "ACTIONS_RUNTIME_TOKEN", "s3": "AWS_SECRET_ACCESS_KEY"}


def image_of(target: Target, repository: str | None, default: str | None) -> ImageReference:
    """The repository that a target's image goes to: that of its tags (whose versions are Slipway's to choose).

    `repository`: where all images go instead, each under the last part of its own name. `default`: where one without
    tags goes. Raises InvalidOption.
    """
    images = list(dict.fromkeys(ImageReference.parse(tag).name for tag in target.tags))
    if repository is not None:
        name = images[0].rsplit("/", 1)[-1] if images else repository_name(target.name)
        return ImageReference.parse(f"{repository}/{name}")
    if len(images) > 1:
        raise InvalidOption(
            f"target {target.name}: its tags name several repositories ({', '.join(images)})",
            action="keep the tags of one, or name one place for all images with --repository",
        )
    if images:
        return ImageReference.parse(images[0])
    if default is None:
        raise InvalidOption(
            f"target {target.name}: it has no tags, so nothing says where its image goes",
            action="give it tags, or name a place with --repository REGISTRY/PATH, or run `slipway up`",
        )
    return ImageReference.parse(f"{default}/{repository_name(target.name)}")


def unused(target: Target) -> list[str]:
    """What the file says of a target that has no part in a release, a sentence each."""
    said = []
    for output in target.outputs:
        if not output.startswith(("type=registry", "type=image")):
            said.append(f"target {target.name}: the output {output!r} is not made, a release pushes images")
    return said


def build_request(
    target: Target,
    plan: ReleasePlan,
    places: Places,
    bases: Mapping[str, str],
    *,
    network: Network | None,
    no_cache: bool,
    insecure: bool,
) -> BuildRequest:
    """What BuildKit is asked for. `bases`: the images of its base targets, by digest, by the targets' names.

    `network`: what the builder needs if the file names none. Raises InvalidOption for what is not allowed.
    """
    what = f"target {target.name}"
    context, dockerfile = _source(what, target, places)
    labels = {**plan.labels, **target.labels}
    epoch = plan.source_date_epoch
    return BuildRequest(
        context=context,
        dockerfile=dockerfile,
        dockerfile_content=target.dockerfile_inline.encode() if target.dockerfile_inline is not None else None,
        contexts={
            **{name: _context(f"{what}: context {name}", place, places) for name, place in target.contexts.items()},
            **{name: f"docker-image://{bases[base]}" for name, base in target.bases.items()},
        },
        target=target.target,
        build_args=target.args,
        labels=labels,
        annotations={**labels, **dict(build_values.pair(f"{what}: annotations", text) for text in target.annotations)},
        platforms=target.platforms,
        no_cache=no_cache or target.no_cache,
        no_cache_stages=target.no_cache_filter,
        pull=target.pull,
        source_date_epoch=epoch,
        git_modes=epoch is not None and plan.source.revision is not None,
        attests=build_values.attest(target.attest, sbom=None, provenance=None),
        cache_imports=tuple(_cache(what, "cache-from", text, places) for text in target.cache_from),
        cache_exports=tuple(_cache(what, "cache-to", text, places) for text in target.cache_to),
        secrets=dict(_secret(what, text, places) for text in target.secrets),
        ssh=dict(_ssh(what, text, places) for text in target.ssh),
        network=_network(what, target, places, network),
        allow=tuple(places.entitlement(what, name) for name in target.entitlements),
        add_hosts={
            host: build_values.address(f"{what}: extra-hosts {host}", place)
            for host, place in target.extra_hosts.items()
        },
        shm_size=build_values.byte_count(f"{what}: shm-size", target.shm_size or "0"),
        ulimits=target.ulimits,
        outputs=(ImagePush(plan.image, by_digest=True, insecure=insecure, rewrite_timestamp=epoch is not None),),
    )


def _source(what: str, target: Target, places: Places) -> tuple[Path | str, Path]:
    context = _context(f"{what}: context", target.context, places)
    dockerfile = Path(target.dockerfile)
    if isinstance(context, Path) and target.dockerfile_inline is None:
        places.path(f"{what}: dockerfile", dockerfile, context)
    elif dockerfile.is_absolute():
        raise InvalidOption(f"{what}: a context elsewhere cannot have the Dockerfile {dockerfile} of this machine")
    return context, dockerfile


def _context(what: str, place: str, places: Places) -> Path | str:
    if place.startswith("oci-layout://"):
        path, mark, digest = place.removeprefix("oci-layout://").partition("@")
        name, colon, tag = path.partition(":")
        return f"oci-layout://{places.path(what, name)}{colon}{tag}{mark}{digest}"
    remote = "://" in place and not place.startswith("cwd://")
    return place if remote or place.startswith("git@") else places.path(what, place)


def _cache(what: str, option: str, text: str, places: Places) -> CacheEntry:
    entry = build_values.cache_entry(f"{what}: {option}", text)
    if entry.type in _CACHE_SECRETS:
        return entry._replace(surroundings=_CACHE_SECRETS[entry.type] in places.env)
    if entry.type != "local":
        return entry
    paths = {
        key: str(places.path(f"{what}: {option}", value))
        for key, value in entry.attributes.items()
        if key in {"src", "dest"}
    }
    return CacheEntry(entry.type, {**entry.attributes, **paths})


def _secret(what: str, text: str, places: Places) -> tuple[str, SecretSource]:
    name, source = build_values.secret(text)
    if isinstance(source, SecretFile):
        return name, SecretFile(places.path(f"{what}: secret {name}", source.path))
    return name, SecretEnv(places.variable(f"{what}: secret {name}", source.name))


def _ssh(what: str, text: str, places: Places) -> tuple[str, SshSource]:
    places.agent(f"{what}: ssh")
    name, source = build_values.ssh(text)
    return name, source._replace(paths=tuple(places.folder / path for path in source.paths))


def _network(what: str, target: Target, places: Places, needed: Network | None) -> Network | None:
    if target.network not in {"", "default", "host", "none"}:
        raise InvalidOption(f"{what}: there is no network mode {target.network!r}", action="use default, host or none")
    if target.network == "host" and needed != "host":
        places.entitlement(what, "network.host")
    return cast(Network, target.network or needed)
