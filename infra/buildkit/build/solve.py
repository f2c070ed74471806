"""A build request as the message for Control/Solve, for the `dockerfile.v0` frontend.

Attributes: frontend/dockerui/config.go, context.go and attr.go (moby/buildkit).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from prefect_slipway.infra.buildkit.build.cache import CacheEntry, resolved_exports, resolved_imports
from prefect_slipway.infra.buildkit.build.contexts import DOCKERFILE_DIR, NamedContexts
from prefect_slipway.infra.buildkit.build.outputs import exporter
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.session.upload import upload_url
from prefect_slipway.infra.buildkit.wire.control_pb2 import SolveRequest
from prefect_slipway.infra.domain.options import csv_line


def solve_request(request: BuildRequest, ref: str, session: str, *, engine: bool = False) -> SolveRequest:
    """`ref`: the build's id, `session`: the id of the one that serves it. `engine`: the daemon is a Docker engine's.
    Raises InvalidOption, ContextError."""
    imports = resolved_imports(request.cache_imports, os.environ)
    attributes = _frontend_attributes(request, imports, session)
    message = SolveRequest(Ref=ref, Session=session, Frontend="dockerfile.v0", FrontendAttrs=attributes)
    message.Entitlements.extend(request.allow)
    if request.network == "host" and "network.host" not in request.allow:
        message.Entitlements.append("network.host")
    for output in request.outputs:
        kind, attributes = exporter(output, request.annotations, engine=engine)
        message.Exporters.add(Type=kind, Attrs=attributes)
    if message.Exporters:
        # Daemons before v0.13 know one exporter, in these two fields.
        message.ExporterDeprecated = message.Exporters[0].Type
        message.ExporterAttrsDeprecated.update(message.Exporters[0].Attrs)
    for entry in imports:
        message.Cache.Imports.add(Type=entry.type, Attrs=dict(entry.attributes))
    if request.source_policy is not None and not request.source_policy.is_rego:
        from prefect_slipway.infra.buildkit.build.source_policy import policy_message

        message.SourcePolicy.CopyFrom(policy_message(request.source_policy))
    if request.source_check is not None:
        message.SourcePolicySession = session
    for entry in resolved_exports(request.cache_exports, os.environ):
        message.Cache.Exports.add(Type=entry.type, Attrs=dict(entry.attributes))
    return message


def _frontend_attributes(request: BuildRequest, cache_imports: Iterable[CacheEntry], session: str) -> dict[str, str]:
    attributes = {
        **_source(request, session),
        **NamedContexts.resolve(request.contexts).attributes,
        **{f"build-arg:{key}": value for key, value in request.build_args.items()},
        **{f"label:{key}": value for key, value in request.labels.items()},
        **{f"attest:{key}": value for key, value in request.attests.items()},
        **_run_options(request),
        **request.recorded,
    }
    if request.target:
        attributes["target"] = request.target
    if request.platforms:
        attributes["platform"] = ",".join(request.platforms)
    if request.as_index:
        attributes["multi-platform"] = "true"
    if request.no_cache or request.no_cache_stages:
        # Empty: all stages.
        attributes["no-cache"] = "" if request.no_cache else ",".join(request.no_cache_stages)
    if request.pull or request.prefer_local:
        attributes["image-resolve-mode"] = "pull" if request.pull else "local"
    if request.source_date_epoch is not None:
        attributes["build-arg:SOURCE_DATE_EPOCH"] = str(request.source_date_epoch)
    if imports := [{"Type": entry.type, "Attrs": dict(entry.attributes)} for entry in cache_imports]:
        # The daemon gives SolveRequest.Cache.Imports to LLB builds only; a frontend reads this (client/solve.go).
        attributes["cache-imports"] = json.dumps(imports)
    return attributes


def _source(request: BuildRequest, session: str) -> dict[str, str]:
    attributes = {}
    if not isinstance(request.context, Path):
        attributes["context"] = request.context if isinstance(request.context, str) else upload_url(session)
        if request.dockerfile_is_here:
            # Without it the daemon reads the Dockerfile from the context.
            attributes["dockerfilekey"] = DOCKERFILE_DIR
    if request.dockerfile_content is not None:
        attributes["filename"] = "Dockerfile"
    elif request.dockerfile_is_here:
        attributes["filename"] = request.dockerfile_path().name
    else:
        attributes["filename"] = str(request.dockerfile)
    return attributes


def _run_options(request: BuildRequest) -> dict[str, str]:
    attributes = dict(request.resources)
    if request.network not in {None, "default"}:
        attributes["force-network-mode"] = str(request.network)
    if request.cgroup_parent:
        attributes["cgroup-parent"] = request.cgroup_parent
    if request.add_hosts:
        attributes["add-hosts"] = csv_line(f"{host}={address}" for host, address in request.add_hosts)
    if request.shm_size:
        attributes["shm-size"] = str(request.shm_size)
    if request.ulimits:
        attributes["ulimit"] = csv_line(request.ulimits)
    if request.hostname:
        attributes["hostname"] = request.hostname
    return attributes
