"""The installed Slipway: its name on the package index, its version and its extras."""

from __future__ import annotations

from importlib.metadata import version

DISTRIBUTION = "prefect-slipway"
VERSION = version(DISTRIBUTION)


def install_extra(extra: str) -> str:
    """The command that installs what an extra of pyproject.toml adds."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
