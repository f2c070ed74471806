"""What somebody may have meant by a word that nothing has."""

from __future__ import annotations

from collections.abc import Sequence


def meant(word: str, known: Sequence[str]) -> str:
    """`; did you mean …?`, "" if nothing is near. The dashes of options count for nothing."""
    # Imported late, as only a typo needs it.
    from difflib import get_close_matches

    names = {name.lstrip("-"): name for name in known}
    near = get_close_matches(word.lstrip("-"), names, n=1)
    return f"; did you mean {names[near[0]]}?" if near else ""
