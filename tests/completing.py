"""Asks the command line for completions as a shell does, by argcomplete's protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conftest import run_slipway


def offered(folder: Path, line: str, env: Mapping[str, str]) -> Sequence[str]:
    """The words that complete the line."""
    answer = folder / "answer"
    asked = {
        "COMP_LINE": line,
        "COMP_POINT": str(len(line.encode())),
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }
    run_slipway(env={**env, **asked})
    return [word.strip() for word in answer.read_text().split("\n") if word]
