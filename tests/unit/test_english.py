"""Texts that people read are plain English: phrases that made readers stumble do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("flows", "blocks", "infra", "deployments", "prefect_slipway")
DOCS = ("*.md", "docs/**/*.md")
TEXTS = ("*.yaml", "*.yml", "*.sh", "*.toml")


class Phrase(NamedTuple):
    """`pattern`: a regular expression, read without case. `example`: what it is to find. `better`: what to write."""

    pattern: str
    example: str
    better: str


EVERYWHERE = [
    Phrase(r"\bmend(s|ed|ing)?\b", "mend it", "fix"),
    Phrase(r"\bstands? above\b", "its last lines stand above", "… are shown above"),
    Phrase(r"\bstands? there twice\b", "'name' stands there twice", "appears twice"),
    Phrase(r"\banew\b", "Build every step anew", "again; do not use the cache"),
    Phrase(r"\bthis very\b", "this very version", "exactly this version"),
    Phrase(r"\b(?:is|are) to be\b", "is to be an object", "must be"),
    Phrase(r"\bwhere there (?:is|are) (?:one|none|some)\b", "origin where there is one", "if it exists"),
    Phrase(r"\b(?:is|are|was|were) not there\b", "the file is not there", "does not exist; not found"),
    Phrase(r"\b(?:il)?legal (?:name|tag|image|repository|form|URL|value|character)", "a legal tag", "valid"),
    Phrase(r"\b(?:ends?|ended|stops?|stopped|shuts? down) in order\b", "the run ends in order", "cleanly"),
    Phrase(r"\bthat is (?:its|their|his) affair\b", "that is its affair", "say who is responsible"),
    Phrase(
        r"(?<!here )(?<!it )\b(?:is|are) no (?!longer|more|less|different|matter|other|way|need|good|better|\w+er )",
        "X is no directory",
        "is not a directory",
    ),
]
"""Not in any text: neither in messages, help and docs nor in docstrings."""

SHOWN = [
    Phrase(r"(?:^|[.;(] )(?:None|Empty|Not): ", "Kubeconfig context. None: the current one.", "Leave empty for …"),
    Phrase(r"\bat first \d", "at first 5000", "default: 5000"),
    Phrase(r"\bif need be\b", "with a longer time-out, if need be", "if you need one"),
    Phrase(r"\btrouble of its own\b", "the registry has trouble of its own", "say what fails"),
    Phrase(r"\bapprove or refuse\b", "approve or refuse what a run waits with", "approve or reject"),
]
"""Not in what users see: messages, help, descriptions, docs."""


class Text(NamedTuple):
    where: str
    text: str
    shown: bool


def _literals(path: Path) -> Iterator[Text]:
    """The string literals of a module, joined as Python joins them; docstrings count as not shown."""
    tree = ast.parse(path.read_text("utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            text = node.value
        else:
            continue
        yield Text(f"{path.relative_to(ROOT)}:{node.lineno}", text, id(node) not in statements)


def _texts() -> Iterator[Text]:
    for package in PACKAGES:
        for path in _files(package, "*.py"):
            if not path.name.endswith("_pb2.py"):
                yield from _literals(path)
        for pattern in TEXTS:
            for path in _files(package, pattern):
                yield Text(str(path.relative_to(ROOT)), path.read_text("utf-8"), True)
    for pattern in (*DOCS, "Makefile"):
        for path in sorted(ROOT.glob(pattern)):
            yield Text(str(path.relative_to(ROOT)), path.read_text("utf-8"), True)


def _files(package: str, pattern: str) -> list[Path]:
    """Sorted; not those behind the links of `prefect_slipway`, which are of the other packages."""
    return sorted(path for path in (ROOT / package).rglob(pattern) if path.resolve() == path)


def _found(text: str, phrases: list[Phrase]) -> list[str]:
    plain = " ".join(text.split())
    return [
        f"{plain[max(0, hit.start() - 40) : hit.end() + 40]!r}: {phrase.better}"
        for phrase in phrases
        for hit in re.finditer(phrase.pattern, plain, re.IGNORECASE)
    ]


@pytest.mark.parametrize("phrase", [*EVERYWHERE, *SHOWN], ids=lambda phrase: phrase.example)
def test_a_phrase_that_made_readers_stumble_is_found(phrase: Phrase) -> None:
    assert _found(f"Some text. {phrase.example}, and\nmore.", [phrase])


def test_plain_words_are_not_taken_for_such_a_phrase() -> None:
    text = "There is no such field. It is no longer used; is no more than 5. We recommend it. In order of size."
    assert not _found(text, [*EVERYWHERE, *SHOWN])


def test_messages_help_and_docs_are_plain_english() -> None:
    wrong = [
        f"{where}: {found}"
        for where, text, shown in _texts()
        for found in _found(text, [*EVERYWHERE, *SHOWN] if shown else EVERYWHERE)
    ]
    assert not wrong, "\n".join(["", *wrong])
