"""Checks before a run begins, for mistakes that can be found without a server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.request.rollout import RegistryOptions
from prefect_slipway.flows.run.builder import builder_tls
from prefect_slipway.flows.run.endpoints import KUBERNETES, NO_VAULT_ACTION, find_builders, vault_access
from prefect_slipway.flows.run.open_run import image_of
from prefect_slipway.flows.run.saved_blocks import block_name, running_stack
from prefect_slipway.infra.domain.errors import InvalidOption, StackDown
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.connection import StackConnection
from prefect_slipway.infra.source.resolve import parse_source

_FILES = ("registry_ca", "source_ca", "builder_ca", "builder_cert", "builder_key")


def check_release(request: ReleaseRequest, env: Mapping[str, str] = os.environ) -> None:
    """Raises InvalidOption and StackDown, as the run itself would later."""
    stack = running_stack(StackConfig.from_env(env))
    _check_files(request)
    if block_name(request.source) is None:
        parse_source(request.source, ref=request.ref, path=request.path, checksum=request.checksum)
    if request.bake is None:
        image_of(request, stack, "any")
    if request.builder == KUBERNETES:
        # The cluster's client takes half a second to import, which a run without one does not pay.
        from prefect_slipway.infra.kubernetes.builders.options import builder_spec

        builder_spec(request.builder_options, {})
    elif request.builder is None or block_name(request.builder) is None:
        find_builders(request.builder, builder_tls(request), stack)
    _check_vault([*request.credentials, request.git_credentials], request.vault, stack, env)


def check_rollout(
    request: RegistryOptions, pull_credentials: Sequence[str | None], env: Mapping[str, str] = os.environ
) -> None:
    """The same for a deploy, a rollback, a promotion."""
    _check_files(request)
    stack = running_stack(StackConfig.from_env(env))
    _check_vault([*request.credentials, *pull_credentials], request.vault, stack, env)


def _check_files(request: ReleaseRequest | RegistryOptions) -> None:
    for name in _FILES:
        file = getattr(request, name, None)
        if file is not None and not Path(file).is_file():
            raise InvalidOption(f"the file {file!r} does not exist", action=f"check --{name.replace('_', '-')}")


def _check_vault(
    named: Sequence[str | None], vault: str | None, stack: StackConnection | None, env: Mapping[str, str]
) -> None:
    places = [text for text in named if text is not None and block_name(text) is None]
    if places and vault is None and vault_access(stack, env) is None:
        raise StackDown(f"{places[0]} is in Vault, but no Vault is configured", action=NO_VAULT_ACTION)
