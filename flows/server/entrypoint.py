"""Import flows by the module path in their deployment."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prefect_slipway.infra.domain.errors import InvalidOption

if TYPE_CHECKING:
    from prefect import Flow

OURS = "prefect_slipway."
"""What the entrypoints of Slipway's own flows begin with."""


def load_flow(entrypoint: str) -> Flow[..., Any]:
    """The flow of a module path. Unlike Prefect's own loading an import that fails is an error, not a placeholder.

    Raises InvalidOption.
    """
    module, _, attribute = entrypoint.rpartition(".")
    if ":" in entrypoint or not module:
        raise InvalidOption(
            f"the entrypoint {entrypoint!r} is not a module path",
            action="use package.module.function: a file would be loaded a second time under another name",
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InvalidOption(
            f"the entrypoint {entrypoint!r} cannot be imported: {error}",
            action="install its package where the deployment is registered",
        ) from error
    from prefect import Flow

    if not isinstance(found, Flow):
        raise InvalidOption(f"the entrypoint {entrypoint!r} is not a flow")
    return found
