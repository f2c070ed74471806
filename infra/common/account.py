"""The account that this process runs as."""

from __future__ import annotations

import getpass


def login_name() -> str | None:
    """None for a user id without a name, as containers have it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # before Python 3.13 KeyError
        return None
