"""Keys of artifacts. Prefect shows all versions under one key, so two images must not share one.

Prefect's grammar has lower case letters, digits and dashes. A key is readable, and its subject could be read back from
it: every other character is a dash in the middle, and its mark, in the same order, at the end.
`release-r-example-team-app-pss` is `r.example/team/app`, `release-r-example-team-app-psh` is `r.example/team-app`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
# None of them is a hexadecimal digit: the older keys of histories end in six of those.
_MARKS = {"/": "s", ".": "p", "-": "h", "_": "u", ":": "k", " ": "w", "@": "t"}


def key_of(kind: str, subject: str) -> str:
    """`kind` and its subject, for example the name of an image."""
    plain = "".join(character if character in _PLAIN else "-" for character in subject)
    marks = "".join(_mark(character) for character in subject if character not in _PLAIN)
    return f"{kind}-{plain}-{marks}"


def set_key(kind: str, source: str, images: Iterable[str]) -> str:
    """The key for several images of one source: two sources may have the same name, so the images distinguish them."""
    names = " ".join(sorted(images))
    return key_of(kind, f"set {source} {hashlib.sha256(names.encode()).hexdigest()[:12]}")


def history_key(image: str) -> str:
    """The key of the table of an image's versions."""
    return key_of("history", image)


def older_history_key(image: str) -> str:
    """The key before keys were reversible, so that older tables are not lost."""
    plain = "".join(character if character.isascii() and character.isalnum() else "-" for character in image.lower())
    return "-".join(
        ["history", *(part for part in plain.split("-") if part), hashlib.sha256(image.encode()).hexdigest()[:6]]
    )


def _mark(character: str) -> str:
    return _MARKS.get(character) or f"x{ord(character):x}z"
