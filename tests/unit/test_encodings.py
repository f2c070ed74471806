"""Text in files is UTF-8, in whatever locale somebody runs Slipway: no call leaves it to Python's default."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("flows", "blocks", "infra", "deployments")
OPENING = {"open", "fdopen"}
PROCESSES = {"run", "Popen", "check_output", "check_call", "call"}


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("path.read_text()", True),
        ("path.read_text(errors='replace')", True),
        ("path.write_text('a')", True),
        ("open(path)", True),
        ("path.open('x')", True),
        ("os.fdopen(handle, 'w')", True),
        ("subprocess.run(['a'], text=True)", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.open('rb')", False),
        ("open(path, mode='wb')", False),
        ("read_text(path)", False),
        ("os.open(path, os.O_RDONLY)", False),
        ("client.open(env)", False),
        ("subprocess.run(['a'])", False),
    ],
)
def test_a_call_without_its_encoding_is_found(call: str, found: bool) -> None:
    assert bool(list(_without_encoding(call))) is found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_text_is_read_or_written_in_the_locales_encoding(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))

    assert files
    assert [
        f"{file.relative_to(ROOT)}:{line}" for file in files for line in _without_encoding(file.read_text("utf-8"))
    ] == []


def _without_encoding(source: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _is_text(node) and not any(key.arg == "encoding" for key in node.keywords):
            yield node.lineno


def _is_text(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    texts = {key.arg for key in call.keywords if isinstance(key.value, ast.Constant) and key.value.value is True}
    if name in PROCESSES:
        return bool(texts & {"text", "universal_newlines"})
    if name in OPENING:
        return _mode(call, name) in {"", "r", "w", "x", "a", "r+", "w+", "rt", "wt"}
    return isinstance(call.func, ast.Attribute) and name in {"read_text", "write_text"}


def _mode(call: ast.Call, name: str) -> str | None:
    """None where it is no file that is opened."""
    of_path = isinstance(call.func, ast.Attribute) and name == "open"
    given = call.args[0 if of_path else 1 :] + [key.value for key in call.keywords if key.arg == "mode"]
    if not given:
        return "" if not of_path else None
    return given[0].value if isinstance(given[0], ast.Constant) and isinstance(given[0].value, str) else None
