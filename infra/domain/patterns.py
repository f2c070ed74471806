"""Patterns for names with slashes: repositories, branches, tags, paths."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

from prefect_slipway.infra.domain.globs import ANY, NO_SLASH, Folders, Loop, One, Part, glob, literal

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_PARTS: dict[str, list[Part]] = {
    "**/": [Folders(ANY)],
    "**": [Loop(ANY)],
    "*": [Loop(NO_SLASH)],
    "?": [One(NO_SLASH)],
}


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether `name` is selected: by one pattern at least, and by none that begins with `!`.

    `*` and `?` stop at a slash, `**` does not, `**/` may be nothing; all else is literal and the case counts. Where
    all patterns begin with `!`, everything else is selected.
    """
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return (not wanted or any(_compiled(pattern)(name) for pattern in wanted)) and not any(
        _compiled(pattern)(name) for pattern in unwanted
    )


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Callable[[str], bool]:
    # More than two stars mean the same as two.
    tokens = _TOKEN.findall(re.sub(r"\*{3,}", "**", pattern))
    return glob([part for token in tokens for part in _PARTS.get(token) or literal(token)])
