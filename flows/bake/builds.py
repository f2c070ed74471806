"""From a target to its build request, and to the image it produces."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from prefect_slipway.flows.bake.targets import Target
from prefect_slipway.flows.build_options import entries, values
from prefect_slipway.flows.build_options.attest import Attestations
from prefect_slipway.flows.build_options.outputs import kind_of
from prefect_slipway.flows.build_options.places import Places
from prefect_slipway.infra.buildkit.build.cache import CacheEntry
from prefect_slipway.infra.buildkit.build.contexts import is_git_over_ssh, is_layout
from prefect_slipway.infra.buildkit.build.outputs import ImagePush, Output
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.session.sources import SecretCall, SecretEnv, SecretFile, SecretSource, SshSource
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import byte_count
from prefect_slipway.infra.domain.reference import ImageReference, repository_name
from prefect_slipway.infra.domain.secret_path import SecretField
from prefect_slipway.infra.domain.source_policy import SourcePolicy

Network = Literal["default", "host", "none"]
ReadSecret = Callable[[SecretField], Awaitable[bytes]]
"""Reads a field of a secret in Vault. Raises VaultErrors."""

# A cache of this type needs permission to use this machine's environment, because a file could name any server.
_CACHE_SECRETS = {"gha": "ACTIONS_RUNTIME_TOKEN", "s3": "AWS_SECRET_ACCESS_KEY"}


def image_of(target: Target, repository: str | None, default: str | None) -> ImageReference:
    """The repository for a target's image, from its tags (Slipway chooses the versions).

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
            action="keep the tags of one repository, or set one place for all images with --repository",
        )
    if images:
        return ImageReference.parse(images[0])
    if default is None:
        raise InvalidOption(
            f"target {target.name}: it has no tags, so its image has no destination",
            action="add tags, set a place with --repository REGISTRY/PATH, or run `slipway up`",
        )
    return ImageReference.parse(f"{default}/{repository_name(target.name)}")


def unused(target: Target) -> list[str]:
    """A sentence for each field of a target that a release does not use."""
    return [
        f"target {target.name}: the output {output!r} is ignored: a release pushes images"
        for output in target.outputs
        if kind_of(output) not in {"registry", "image"}
    ]


def secrets_in_vault(target: Target, places: Places) -> Iterator[SecretField]:
    """The places in Vault that a target's secrets and SSH keys are read from. Raises InvalidOption for what is not
    allowed."""
    what = f"target {target.name}"
    for text in target.secrets:
        name, source = entries.secret(f"{what}: secret", text, ())
        if isinstance(source, SecretField):
            yield places.secret(f"{what}: secret {name}", source)
    for text in target.ssh:
        if (key := entries.ssh_keys(text)) is not None:
            yield places.secret(f"{what}: ssh {key[0]}", key[1])


def build_request(
    target: Target,
    image: str,
    labels: Mapping[str, str],
    places: Places,
    bases: Mapping[str, str],
    attested: Attestations,
    *,
    epoch: int | None,
    git_modes: bool,
    network: Network | None,
    no_cache: bool,
    insecure: bool,
    read_secret: ReadSecret,
    output: Mapping[str, str] = MappingProxyType({}),
    beside: Sequence[Output] = (),
    source_policy: SourcePolicy | None = None,
    recorded: Mapping[str, str] = MappingProxyType({}),
) -> BuildRequest:
    """The build request for BuildKit. `image`: REGISTRY/REPOSITORY, pushed to by digest; `labels`: of the image, and
    its annotations; `bases`: the images of its base targets, by digest, by the targets' names. `attested`: what to
    attach to it, with `recorded` (as of BuildRequest).

    `epoch` (seconds, for a reproducible image) and `git_modes`: as of BuildRequest. `network`: what the builder needs
    if the file names none. `read_secret`: from Vault. `output`: attributes of the image exporter. `beside`: further
    outputs. `source_policy`: as of BuildRequest. Raises InvalidOption for what is not allowed.
    """
    what = f"target {target.name}"
    context, dockerfile = _source(what, target, places)
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
        labels=dict(labels),
        annotations={**labels, **values.image_annotations(target.annotations, f"{what}: annotations")},
        platforms=values.platforms(target.platforms),
        no_cache=no_cache or target.no_cache,
        no_cache_stages=target.no_cache_filter,
        pull=target.pull,
        source_date_epoch=epoch,
        git_modes=git_modes,
        attests=attested.attests,
        required_attests=attested.required,
        recorded=recorded if "provenance" in attested.attests else {},
        cache_imports=_caches(what, "cache-from", target.cache_from, places),
        cache_exports=_caches(what, "cache-to", target.cache_to, places),
        source_policy=source_policy,
        source_check=values.source_check(source_policy),
        secrets=dict(_secret(what, text, places, read_secret) for text in target.secrets),
        ssh=_agents(what, target, context, places, read_secret),
        network=_network(what, target, places, network),
        allow=tuple(places.entitlement(what, name) for name in target.entitlements),
        add_hosts=tuple(
            each
            for name, place in sorted(target.extra_hosts.items())
            for each in values.host(f"{what}: extra-hosts {name}", f"{name}={place}")
        ),
        shm_size=byte_count(f"{what}: shm-size", target.shm_size or "0"),
        ulimits=values.ulimits(f"{what}: ulimits", target.ulimits),
        resources=values.resources(f"{name}={value}" for name, value in target.resources.items()),
        outputs=(
            *beside,
            # The last one's digest is the answer's (solver/llbsolver/solver.go, `runExporters`).
            ImagePush(image, by_digest=True, insecure=insecure, rewrite_timestamp=epoch is not None, attributes=output),
        ),
    )


def _source(what: str, target: Target, places: Places) -> tuple[Path | str, Path]:
    context = _context(f"{what}: context", target.context, places)
    dockerfile = Path(target.dockerfile)
    if isinstance(context, Path) and target.dockerfile_inline is None:
        places.path(f"{what}: dockerfile", dockerfile, context)
    elif dockerfile.is_absolute():
        raise InvalidOption(f"{what}: a remote context cannot use the local Dockerfile {dockerfile}")
    return context, dockerfile


def _context(what: str, place: str, places: Places) -> Path | str:
    if is_layout(place):
        path, mark, digest = place.removeprefix("oci-layout://").partition("@")
        name, colon, tag = path.partition(":")
        return f"oci-layout://{places.path(what, name)}{colon}{tag}{mark}{digest}"
    where = entries.context_place(place)
    return where if isinstance(where, str) else places.path(what, place)


def _caches(what: str, option: str, texts: Sequence[str], places: Places) -> tuple[CacheEntry, ...]:
    option = f"{what}: {option}"
    return tuple(_cache(option, entry, places) for entry in entries.caches(option, texts))


def _cache(option: str, entry: CacheEntry, places: Places) -> CacheEntry:
    if entry.type in _CACHE_SECRETS:
        return entry._replace(surroundings=_CACHE_SECRETS[entry.type] in places.env)
    if entry.type != "local":
        return entry
    allowed = {"src": places.path, "dest": places.written}
    paths = {key: str(allowed[key](option, value)) for key, value in entry.attributes.items() if key in allowed}
    return CacheEntry(entry.type, {**entry.attributes, **paths})


def _secret(what: str, text: str, places: Places, read: ReadSecret) -> tuple[str, SecretSource]:
    # A variable that may be read takes precedence; without that permission, a file of that name, if it exists.
    allowed = {name for name in places.env if name in os.environ}
    name, source = entries.secret(f"{what}: secret", text, allowed)
    if isinstance(source, SecretField):
        return name, _call(places.secret(f"{what}: secret {name}", source), read)
    if isinstance(source, SecretFile):
        if str(source.path) == name and not (places.folder / name).exists():
            return name, SecretEnv(places.variable(f"{what}: secret {name}", name))
        return name, SecretFile(places.path(f"{what}: secret {name}", source.path))
    return name, SecretEnv(places.variable(f"{what}: secret {name}", source.name))


def _call(field: SecretField, read: ReadSecret) -> SecretCall:
    return SecretCall(str(field.path), partial(read, field))


def _agents(what: str, target: Target, context: Path | str, places: Places, read: ReadSecret) -> dict[str, SshSource]:
    if not target.ssh and isinstance(context, str) and is_git_over_ssh(context):
        places.agent(f"{what}: context")
        return {"default": SshSource()}
    return dict(_ssh(what, text, places, read) for text in target.ssh)


def _ssh(what: str, text: str, places: Places, read: ReadSecret) -> tuple[str, SshSource]:
    if (key := entries.ssh_keys(text)) is not None:
        name, field = key
        return name, SshSource(keys=(_call(places.secret(f"{what}: ssh {name}", field), read),))
    places.agent(f"{what}: ssh")
    name, source = entries.ssh_agent(text)
    return name, source._replace(paths=tuple(places.folder / path for path in source.paths))


def _network(what: str, target: Target, places: Places, needed: Network | None) -> Network | None:
    wanted = values.network(what, target.network)
    if wanted == "host" and needed != "host":
        places.entitlement(what, "network.host")
    return wanted or needed
