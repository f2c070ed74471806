"""Where the embedded stack's state lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flows.domain.errors import InvalidOption


def stack_home(env: Mapping[str, str]) -> Path:
    """SLIPWAY_HOME, absolute; unset, `slipway` in the platform's data folder. Raises InvalidOption."""
    named = env.get("SLIPWAY_HOME")
    if not named:
        # Only then: a command that starts fast does not pay for it.
        import platformdirs

        return Path(platformdirs.user_data_path("slipway"))
    home = Path(named).expanduser().absolute()
    if home.exists() and not home.is_dir():
        raise InvalidOption(f"SLIPWAY_HOME: {home} is not a folder", action="name a folder, or one to be made")
    return home
