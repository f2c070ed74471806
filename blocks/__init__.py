"""Prefect Blocks: typed configuration saved in Prefect.

`Vault` turns itself into the adapter's access; the others stand for fields of a release request, so that what a block
says, an option says too. `prefect block register -m prefect_slipway` registers all of them; the entry point
`prefect.collections` has Prefect import this package wherever Slipway is installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_slipway.blocks.builder import Builder
    from prefect_slipway.blocks.gate_file import GateFile
    from prefect_slipway.blocks.kubernetes import KubernetesBuilder
    from prefect_slipway.blocks.policy import Policy
    from prefect_slipway.blocks.registry import Registry
    from prefect_slipway.blocks.source import Source
    from prefect_slipway.blocks.source_policy import SourcePolicy
    from prefect_slipway.blocks.vault import Vault

__all__ = ["Builder", "GateFile", "KubernetesBuilder", "Policy", "Registry", "Source", "SourcePolicy", "Vault"]

# Imported at first use: they import Prefect, which then reads its settings, and the command line must set the server
# first. Requests use the rest of this package.
_MODULES = {
    "Builder": "builder",
    "GateFile": "gate_file",
    "KubernetesBuilder": "kubernetes",
    "Policy": "policy",
    "Registry": "registry",
    "Source": "source",
    "SourcePolicy": "source_policy",
    "Vault": "vault",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
