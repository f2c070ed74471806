"""Prefect Blocks: typed configuration saved in Prefect.

`Vault` turns itself into the adapter's access; the others stand for fields of a release request, so that what a block
says, an option says too. `prefect block register -m blocks` registers all of them.
"""

from blocks.builder import Builder
from blocks.kubernetes import KubernetesBuilder
from blocks.registry import Registry
from blocks.source import Source
from blocks.vault import Vault

__all__ = ["Builder", "KubernetesBuilder", "Registry", "Source", "Vault"]
