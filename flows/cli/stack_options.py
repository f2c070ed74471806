"""Options of the commands for the embedded stack, and the configuration that they form."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_slipway.infra.local.config import StackConfig

_VARIABLES = {
    "registry_port": "SLIPWAY_REGISTRY_PORT",
    "vault_port": "SLIPWAY_VAULT_PORT",
    "prefect_port": "SLIPWAY_PREFECT_PORT",
    "database": "SLIPWAY_PREFECT_DATABASE",
}


def add_stack_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Ports and database", "Each can also be set by its variable.")
    group.add_argument("--registry-port", metavar="PORT", help="Registry port. Default: 5000. [SLIPWAY_REGISTRY_PORT]")
    group.add_argument(
        "--rename-images",
        action="store_true",
        help="Allow a different registry port, which renames the images in the registry.",
    )
    group.add_argument("--vault-port", metavar="PORT", help="Vault port. Default: 8200. [SLIPWAY_VAULT_PORT]")
    group.add_argument("--prefect-port", metavar="PORT", help="Prefect port. Default: 4200. [SLIPWAY_PREFECT_PORT]")
    group.add_argument(
        "--database",
        metavar="URL",
        help="PostgreSQL URL for Prefect's next start. Default: SQLite. [SLIPWAY_PREFECT_DATABASE, which "
        "keeps a password off the process list]",
    )


def stack_config(args: argparse.Namespace) -> StackConfig:
    """The environment's configuration, the options of `add_stack_options` over it. Raises InvalidOption."""
    from prefect_slipway.infra.local.config import StackConfig

    named = {
        variable: value for option, variable in _VARIABLES.items() if (value := getattr(args, option, None)) is not None
    }
    config = StackConfig.from_env({**os.environ, **named})
    return replace(config, rename_images=getattr(args, "rename_images", False))
