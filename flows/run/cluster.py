"""A release's builder in Kubernetes: from the request's options to what prefect_slipway.infra.kubernetes provisions."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.domain.errors import ClusterError, InvalidOption
from prefect_slipway.infra.domain.options import boolean
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from prefect_slipway.infra.kubernetes.access.rights import DEPLOY_ROLE, check_rights, rollout_rights
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.spec import (
    BuilderSpec,
    Cache,
    RegistrySettings,
    Resources,
    Run,
    Toleration,
)
from prefect_slipway.infra.kubernetes.builders.sweep import remove_run
from prefect_slipway.infra.kubernetes.workloads.pull_secret import pull_secret_name
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName

logger = logging.getLogger(__name__)


def open_api(context: str | None, namespace: str | None, env: Mapping[str, str] = os.environ) -> KubernetesApi:
    """The cluster of KUBECONFIG (or of this pod); an async context manager. Raises KubeconfigInvalid."""
    return KubernetesApi(ClusterAccess.from_env(env, context=context, namespace=namespace))


async def run_builder(
    request: ReleaseRequest, registry: str, exits: AsyncExitStack, run: str, attempt: int, *, session: bool
) -> KubernetesBuilder:
    """The run's builder (or the shared one), to be provisioned. What is opened for it closes with `exits`.

    `registry`: the host that images go to; `run`: the flow run's id; `attempt`: how many times it was run before;
    `session`: a shell's pod will be opened. Raises ClusterErrors and InvalidOption.
    """
    api = await exits.enter_async_context(open_api(request.context, request.namespace))
    await _remove_earlier_attempts(api, run, attempt)
    return _builder(request, registry, api, run_name(run, attempt), session=session)


async def provisioned(builder: KubernetesBuilder) -> BuilderAddress:
    """Make it, or make it again when it was lost; gives the way to it. Raises ClusterErrors and BuilderErrors."""
    made = await builder.provision()
    return BuilderAddress.parse(
        made.address, TlsFiles(ca=made.ca, cert=made.cert, key=made.key, server_name=made.server_name)
    )


async def check_builder(request: ReleaseRequest, registry: str) -> None:
    """See that a builder could be made, where one will be: what is missing is told with the plan, not after it.

    Raises ClusterErrors.
    """
    async with open_api(request.context, request.namespace) as api:
        await _builder(request, registry, api, "plan").check()


async def check_rights_of_builder(api: KubernetesApi) -> None:
    """See that this user may make a usual builder there. Raises ClusterErrors."""
    await KubernetesBuilder(api, BuilderSpec(), Run("doctor"), source="").check()


async def check_rights_of_deploy(api: KubernetesApi, workload: str) -> None:
    """See that this user may deploy to that workload, with pull credentials. Raises ClusterErrors and InvalidOption."""
    name = WorkloadName.parse(workload)
    rights = rollout_rights(name.kind, name.name, pull_secret_name(name), "default")
    await check_rights(api, rights, role=DEPLOY_ROLE)


def _builder(
    request: ReleaseRequest, registry: str, api: KubernetesApi, run: str, *, session: bool = False
) -> KubernetesBuilder:
    registries = registry_settings(registry, insecure=request.insecure_registry, ca_file=request.registry_ca)
    return KubernetesBuilder(
        api,
        builder_spec(request.builder_options, registries),
        Run(run, request.run_labels),
        source=f"{request.source} {request.path}",
        session=session,
    )


def run_name(flow_run_id: str, attempt: int) -> str:
    """A run's short name in a cluster: the beginning of its flow run's id, which is random, and which attempt it is.

    A run that is run again has a name of its own: the process before it may still be cleaning up what bears its name.
    """
    return flow_run_id[:8] + (f"-{attempt}" if attempt else "")


async def _remove_earlier_attempts(api: KubernetesApi, flow_run_id: str, attempt: int) -> None:
    """What attempts that died have left need not wait for the sweep."""
    for earlier in range(attempt):
        try:
            await remove_run(api, run_name(flow_run_id, earlier))
        except ClusterError as error:
            logger.warning(
                "what is left of an earlier attempt could not be removed, which leaves it to the sweep: %s", error
            )


def builder_spec(options: Mapping[str, str], registries: Mapping[str, RegistrySettings]) -> BuilderSpec:
    """A builder from `key=value` options, each named as BuilderSpec's field (or that of its Resources or Cache).

    `registries`: what is known of them already; options add to it. Raises InvalidOption for an unknown key, and for
    what Kubernetes would refuse.
    """
    groups: dict[str, dict[str, Any]] = {"spec": {}, "resources": {}, "cache": {}, "registries": {}}
    for key, text in options.items():
        if key not in _OPTIONS:
            raise InvalidOption(f"a builder has no option {key!r}", action=f"use one of {', '.join(_OPTIONS)}")
        group, field, read = _OPTIONS[key]
        groups[group][field] = read(key, text)
    return BuilderSpec(
        **groups["spec"],
        resources=Resources(**groups["resources"]),
        cache=Cache(**groups["cache"]),
        registries=_with_settings(registries, **groups["registries"]),
    )


def _with_settings(
    registries: Mapping[str, RegistrySettings],
    *,
    mirrors: Mapping[str, tuple[str, ...]] | None = None,
    plain_http: tuple[str, ...] = (),
    ca: Mapping[str, str] | None = None,
) -> dict[str, RegistrySettings]:
    settings = dict(registries)
    for host, hosts in (mirrors or {}).items():
        settings[host] = replace(settings.get(host, RegistrySettings()), mirrors=hosts)
    for host in plain_http:
        settings[host] = replace(settings.get(host, RegistrySettings()), plain_http=True)
    for host, text in (ca or {}).items():
        settings[host] = replace(settings.get(host, RegistrySettings()), ca=text)
    return settings


def registry_settings(host: str, *, insecure: bool, ca_file: str | None) -> dict[str, RegistrySettings]:
    """What the daemon has to know of the image's registry. Raises InvalidOption when the CA cannot be read."""
    if not insecure and ca_file is None:
        return {}
    ca = _pem("--registry-ca", ca_file) if ca_file is not None else None
    return {host: RegistrySettings(plain_http=insecure, ca=ca)}


def _pem(option: str, file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"the CA file {file} cannot be read", action=f"check {option}") from error


def _text(key: str, text: str) -> str:
    return text


def _number(key: str, text: str) -> int:
    if not text.isdecimal():
        raise InvalidOption(f"{key}={text!r} is not a number")
    return int(text)


def _words(key: str, text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _one_of(*allowed: str) -> Callable[[str, str], str]:
    def read(key: str, text: str) -> str:
        if text not in allowed:
            raise InvalidOption(f"{key}={text!r} is none of {', '.join(allowed)}")
        return text

    return read


def _pairs(key: str, text: str) -> dict[str, str]:
    words = _words(key, text)
    pairs = dict(word.partition("=")[::2] for word in words)
    if not words or not all(pairs) or not all("=" in word for word in words):
        raise InvalidOption(f"{key}={text!r} is not KEY=VALUE,…")
    return pairs


def _mirrors(key: str, text: str) -> dict[str, tuple[str, ...]]:
    """`HOST=MIRROR,…`; a host may come again, its mirrors are asked in that order."""
    found: dict[str, tuple[str, ...]] = {}
    for word in _words(key, text):
        for host, mirror in _pairs(key, word).items():
            found[host] = (*found.get(host, ()), mirror)
    return found


def _cas(key: str, text: str) -> dict[str, str]:
    """`HOST=FILE,…`, each a PEM file of this machine."""
    return {host: _pem(f"{key}=…", file) for host, file in _pairs(key, text).items()}


def _tolerations(key: str, text: str) -> tuple[Toleration, ...]:
    """`KEY[=VALUE][:EFFECT],…`, as `kubectl taint` writes taints."""
    found = []
    for word in _words(key, text):
        taint, _, effect = word.partition(":")
        name, equals, value = taint.partition("=")
        if effect not in {"", "NoSchedule", "PreferNoSchedule", "NoExecute"} or not name:
            raise InvalidOption(f"{key}={text!r} is not KEY[=VALUE][:EFFECT],…")
        found.append(Toleration(name, value if equals else None, cast(Any, effect or None)))
    return tuple(found)


_OPTIONS: dict[str, tuple[str, str, Callable[[str, str], Any]]] = {
    "name": ("spec", "name", _text),
    "lifetime": ("spec", "lifetime", _one_of("run", "shared")),
    "privileged": ("spec", "privileged", boolean),
    "image": ("spec", "image", _text),
    "pull_policy": ("spec", "pull_policy", _one_of("Always", "IfNotPresent", "Never")),
    "pull_secrets": ("spec", "pull_secrets", _words),
    "cpu": ("resources", "cpu", _text),
    "memory": ("resources", "memory", _text),
    "cpu_limit": ("resources", "cpu_limit", _text),
    "memory_limit": ("resources", "memory_limit", _text),
    "node_selector": ("spec", "node_selector", _pairs),
    "tolerations": ("spec", "tolerations", _tolerations),
    "replicas": ("spec", "replicas", _number),
    "service_account": ("spec", "service_account", _text),
    "annotations": ("spec", "annotations", _pairs),
    "cache_size": ("cache", "size", _text),
    "cache_persistent": ("cache", "persistent", boolean),
    "storage_class": ("cache", "storage_class", _text),
    "gc_limit": ("spec", "gc_limit", _text),
    "mirrors": ("registries", "mirrors", _mirrors),
    "plain_http": ("registries", "plain_http", _words),
    "registry_ca": ("registries", "ca", _cas),
    "idle_s": ("spec", "idle_s", _number),
    "ready_s": ("spec", "ready_s", _number),
    "scheduling_patience_s": ("spec", "scheduling_patience_s", _number),
}
