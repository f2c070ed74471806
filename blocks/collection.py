"""All blocks in one module, which Prefect imports wherever Slipway is installed (entry point `prefect.collections`)."""

from prefect_slipway.blocks.builder import Builder as Builder
from prefect_slipway.blocks.gate_file import GateFile as GateFile
from prefect_slipway.blocks.kubernetes import KubernetesBuilder as KubernetesBuilder
from prefect_slipway.blocks.policy import Policy as Policy
from prefect_slipway.blocks.registry import Registry as Registry
from prefect_slipway.blocks.source import Source as Source
from prefect_slipway.blocks.source_policy import SourcePolicy as SourcePolicy
from prefect_slipway.blocks.vault import Vault as Vault
