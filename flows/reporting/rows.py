"""Facts as rows of Markdown tables, and errors in words."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.flows.reporting import markdown
from prefect_slipway.flows.reporting.links import Link
from prefect_slipway.infra.domain.errors import SlipwayError


def as_rows(facts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Rows of labels and values; the source's address is a link."""
    return [
        (markdown.text(label), markdown.link(value, value) if label == "source" else markdown.text(value))
        for label, value in facts
    ]


def link_rows(links: Sequence[Link]) -> list[tuple[str, str]]:
    """The same of links."""
    return [(markdown.text(link.what), markdown.link(link.text, link.url)) for link in links]


def describe(error: BaseException) -> str:
    """An error for people: a named cause with its next action, or only the kind of any other error.

    The text of an unexpected exception stays out: nobody checked it for secrets.
    """
    if isinstance(error, SlipwayError):
        return f"{error.name}: {error}"
    return type(error).__name__
