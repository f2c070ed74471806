"""Escape text from outside in Markdown, so that it cannot become links, pictures, HTML or headings.

CommonMark 0.31 and GitHub's tables and autolinks, which Prefect's UI renders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from prefect_slipway.infra.domain.outside import one_line, plain

# Backslashes work before any ASCII punctuation ("Backslash escapes").
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~!&$^]")
# What becomes a link without any brackets ("Autolinks (extension)"): schemes, www., mail addresses. Prefect's second UI
# looks for them when backslashes are resolved already, so an invisible WORD JOINER stands within.
_AUTOLINK = re.compile(r"(?<=[A-Za-z0-9]:)(?=//)|(?<=www)(?=\.)|(?=@[\w-]+\.)", re.IGNORECASE)
_JOINER = "\u2060"
# What begins a list, a quotation, a rule or a heading where it begins a line.
_START = re.compile(r"^([-+=:]|\d+(?=[.)](?:\s|$)))")
_LINKED = re.compile(r"https?://[^\s<>\\]+", re.IGNORECASE)


def text(outside: object) -> str:
    """Text for the inside of a paragraph, a list item, a heading or a table's cell; in one line."""
    return _escaped(_AUTOLINK.sub(_JOINER, one_line(str(outside))))


def link(outside: str, url: str) -> str:
    """A link to a web page; only the text if the address is invalid."""
    if not _LINKED.fullmatch(url) or plain(url) != url:
        return text(outside)
    return f"[{_escaped(one_line(outside))}](<{url}>)"


def _escaped(line: str) -> str:
    escaped = _SPECIAL.sub(r"\\\g<0>", line)
    return _START.sub(lambda match: f"{match[1]}\\" if match[1].isdigit() else f"\\{match[1]}", escaped)


def block(outside: str) -> str:
    """Lines as they are, in a fence that they cannot close."""
    lines = plain(outside)
    longest = max((len(run) for run in re.findall("`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{lines}\n{fence}"


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, whose first row is its header. Cells are Markdown already."""
    header, *others = [list(row) for row in rows]
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *others)]


def items(lines: Iterable[object]) -> list[str]:
    """The lines of a list, of text from outside."""
    return [f"- {text(line)}" for line in lines]
