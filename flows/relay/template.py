"""Parameters with values of the push in them: `{{ commit }}` and a few more names, replaced as plain text.

Nothing is evaluated: what a name stands for is put in as it is and never read as a template again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from prefect_slipway.flows.relay.push import Push

NAMES = (
    "forge",
    "repository",
    "web_url",
    "clone_url",
    "ssh_url",
    "ref",
    "branch",
    "tag",
    "commit",
    "before",
    "pusher",
    "delivery",
)
"""What may stand between `{{ }}`; empty where the push has no such thing."""

_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)


def names_in(value: Any) -> Iterator[str]:
    """All names between `{{ }}` in the texts of a JSON value."""
    if isinstance(value, str):
        yield from (match[1] for match in _PLACEHOLDER.finditer(value))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_in(inner)


def filled(value: Any, push: Push) -> Any:
    """The JSON value with every placeholder in its texts replaced; keys are left as they are."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda match: getattr(push, match[1]) or "", value)
    if isinstance(value, dict):
        return {key: filled(inner, push) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, push) for inner in value]
    return value
