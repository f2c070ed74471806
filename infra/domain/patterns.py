"""Patterns for names with slashes: repositories, branches, tags, paths."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_REGULAR = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether `name` is selected: by one pattern at least, and by none that begins with `!`.

    `*` and `?` stop at a slash, `**` does not, `**/` may be nothing; all else is literal and the case counts. Where
    all patterns begin with `!`, everything else is selected.
    """
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return (not wanted or any(_regular(pattern).fullmatch(name) for pattern in wanted)) and not any(
        _regular(pattern).fullmatch(name) for pattern in unwanted
    )


@functools.lru_cache(maxsize=1024)
def _regular(pattern: str) -> re.Pattern[str]:
    # More than two stars mean the same as two, but are slower.
    tokens = _TOKEN.findall(re.sub(r"\*{3,}", "**", pattern))
    return re.compile("".join(_REGULAR.get(token) or re.escape(token) for token in tokens), re.DOTALL)
