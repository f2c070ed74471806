"""The image's registry, through the OCI distribution API.

Names are imported when they are used: docker's credentials, which a plain build needs, come without the HTTP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_slipway.infra.registry.client import RegistryClient
    from prefect_slipway.infra.registry.model import Descriptor, ImageConfig, Manifest

__all__ = ["Descriptor", "ImageConfig", "Manifest", "RegistryClient"]


def __getattr__(name: str) -> Any:
    if name == "RegistryClient":
        from prefect_slipway.infra.registry.client import RegistryClient

        return RegistryClient
    if name in {"Descriptor", "ImageConfig", "Manifest"}:
        from prefect_slipway.infra.registry import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
