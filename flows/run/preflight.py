"""Checks before a run begins, for mistakes that can be found without a server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.rollout import CheckedOptions
from prefect_slipway.flows.run.builder import builder_tls
from prefect_slipway.flows.run.endpoints import KUBERNETES, NO_VAULT_ACTION, find_builders, vault_access
from prefect_slipway.flows.run.open_run import image_of
from prefect_slipway.flows.run.release_file import has_components
from prefect_slipway.flows.run.saved_blocks import block_name, running_stack
from prefect_slipway.infra.domain.errors import InvalidOption, StackDown
from prefect_slipway.infra.domain.text import is_encodable
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.source.directory import existing_directory
from prefect_slipway.infra.source.resolve import DirectorySpec, parse_source


def check_release(request: ReleaseRequest, env: Mapping[str, str] = os.environ) -> None:
    """Raises InvalidOption, SourceMissing and StackDown, as the run itself would later."""
    stack = running_stack(StackConfig.from_env(env))
    checkout, builder, access = request.checkout, request.builder, request.credentials
    _check_files(
        registry_ca=access.registry_ca,
        source_ca=checkout.ca,
        builder_ca=builder.ca,
        builder_cert=builder.cert,
        builder_key=builder.key,
    )
    if block_name(request.source) is None:
        source = parse_source(request.source, ref=checkout.ref, path=checkout.path, checksum=checkout.checksum)
        if isinstance(source, DirectorySpec):
            path = str(existing_directory(source.path))
            if not is_encodable(path):
                raise InvalidOption(f"the name of {path} is not UTF-8, and cannot be recorded", action="rename it")
    if request.bake is None and not has_components(request):
        image_of(request, stack, "any")
    if builder.address == KUBERNETES:
        # The cluster's client takes half a second to import, which a run without one does not pay.
        from prefect_slipway.infra.kubernetes.builders.options import builder_spec

        builder_spec(builder.options, {})
    elif builder.address is None or block_name(builder.address) is None:
        find_builders(builder.address, builder_tls(builder), stack)
    secrets = [*(str(field.path) for field in request.build.in_vault), *request.trust.places]
    _check_vault([*access.registries, checkout.credentials, *secrets], access.vault, stack, env)


def check_rollout(request: CheckedOptions, env: Mapping[str, str] = os.environ) -> None:
    """The same for a deploy, a rollback, a promotion."""
    _check_files(registry_ca=request.registry_ca)
    stack = running_stack(StackConfig.from_env(env))
    _check_vault([*request.credentials, *request.vault_places], request.vault, stack, env)


def _check_files(**files: str | None) -> None:
    for name, file in files.items():
        if file is not None and not Path(file).is_file():
            raise InvalidOption(f"the file {file!r} does not exist", action=f"check --{name.replace('_', '-')}")


def _check_vault(
    named: Sequence[str | None], vault: str | None, stack: StackConnection | None, env: Mapping[str, str]
) -> None:
    places = [text for text in named if text is not None and block_name(text) is None]
    if places and vault is None and vault_access(stack, env) is None:
        raise StackDown(f"{places[0]} is in Vault, but no Vault is configured", action=NO_VAULT_ACTION)
