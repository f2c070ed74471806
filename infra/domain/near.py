"""What somebody may have meant by a word that nothing has."""

from __future__ import annotations

from collections.abc import Sequence


def meant(word: str, known: Sequence[str]) -> str:
    """`; did you mean …?`, "" if nothing is near."""
    # Imported late, as only a typo needs it.
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
