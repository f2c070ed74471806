"""Links that Prefect's UI shows with every block: its documentation and its logo."""

from __future__ import annotations

from pydantic import HttpUrl

from prefect_slipway.infra.domain.documentation import SITE

# Pictures like those of Prefect's own blocks, at the same commit (prefect/blocks/notifications.py), so that the UI's
# list is uniform and the pictures never move.
_LOGOS = (
    "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9/assets/block-logos"
)


def logo(name: str) -> HttpUrl:
    return HttpUrl(f"{_LOGOS}/{name}.png")


def documentation(slug: str) -> HttpUrl:
    """Where a block type's fields are told."""
    return HttpUrl(f"{SITE}reference/blocks/#{slug}")
