"""The image's registry, spoken to by the OCI distribution API."""

from infra.registry.client import RegistryClient
from infra.registry.model import Descriptor, Manifest

__all__ = ["Descriptor", "Manifest", "RegistryClient"]
