"""Print facts on a terminal: a value that is too long goes on below itself, and breaks between words."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap

# One label or two, then the value; or the mark of an item.
_BEFORE_VALUE = re.compile(r" *(?:(?:\S+(?: \S+)* {2,}){1,2}|(?:- |WARN: |-> )(?=\S))")
_LEAST = 20


def print_facts(text: str) -> None:
    """To standard output: as it is unless that is a terminal."""
    print(folded(text, shutil.get_terminal_size().columns) if sys.stdout.isatty() else text)


def folded(text: str, width: int) -> str:
    """Lines of at most `width` characters, if words allow. A command (a line without a label) stays whole, so that it
    can be copied."""
    return "\n".join(part for line in text.splitlines() for part in _parts(line, width))


def _parts(line: str, width: int) -> list[str]:
    before = _BEFORE_VALUE.match(line)
    if len(line) <= width or before is None or width - len(before[0]) < _LEAST:
        return [line]
    return textwrap.wrap(
        line[before.end() :], width, initial_indent=before[0], subsequent_indent=" " * len(before[0]),
        break_on_hyphens=False, break_long_words=False,
    ) or [line]  # fmt: skip
