"""Prefect Blocks: typed configuration saved in Prefect.

`Vault` turns itself into the adapter's access; the others stand for fields of a release request, so that what a block
says, an option says too. `prefect block register -m prefect_slipway` registers all of them; the entry point
`prefect.collections` has Prefect import this package wherever Slipway is installed.
"""

from prefect_slipway.blocks.builder import Builder
from prefect_slipway.blocks.kubernetes import KubernetesBuilder
from prefect_slipway.blocks.registry import Registry
from prefect_slipway.blocks.source import Source
from prefect_slipway.blocks.vault import Vault

__all__ = ["Builder", "KubernetesBuilder", "Registry", "Source", "Vault"]
