"""The documentation's pages, and the commands that they show."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.docs import (
    blocks_page,
    commands_page,
    errors_page,
    events_page,
    json_page,
    metrics_page,
    python_page,
    request_page,
    schema_page,
    site_address,
)

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
GET_STARTED = DOCS / "get-started.md"
GUIDES = sorted(DOCS.rglob("*.md"))
GENERATED = [
    commands_page,
    request_page,
    blocks_page,
    events_page,
    metrics_page,
    errors_page,
    json_page,
    python_page,
    schema_page,
    site_address,
]
PAGES = [README, *GUIDES, *(ROOT / f"{name}.md" for name in ("ARCHITECTURE", "CONTRIBUTING", "SECURITY"))]


def named(page: Path) -> str:
    """How a test's id and messages name it."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The page's fenced blocks of a language; one in a list is indented."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


def lines(page: Path, language: str) -> list[str]:
    """The commands in these blocks; one that goes on in the next line is one."""
    text = "".join(blocks(page, language)).replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def inline(page: Path) -> list[str]:
    """What the page's prose has in backticks."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]
