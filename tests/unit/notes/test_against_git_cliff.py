"""The same sections as git-cliff's, or a reason why not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prefect_slipway.flows.notes.changes import changes_of
from prefect_slipway.infra.domain.commits import Commit
from tests.unit.notes.ask_cliff import TABLE

_TITLES = {"Features": "feat", "Bug fixes": "fix", "Performance": "perf"}
HISTORIES: list[dict[str, Any]] = json.loads(TABLE.read_text())["histories"]


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: str(history["name"]))
def test_sections_are_git_cliffs(history: dict[str, Any]) -> None:
    """For each history in which the two differ the table says why."""
    ids = [f"{number:040x}" for number in range(0xA0, 0xA0 + len(history["messages"]))]
    commits = [Commit(each, text.format(*ids)) for each, text in zip(ids, history["messages"], strict=True)][::-1]
    changes = changes_of(commits)
    ours = {"breaking": [change.subject for change in changes.breaking.changes], "feat": [], "fix": [], "perf": []}
    for section in changes.sections:
        if section.title in _TITLES:
            ours[_TITLES[section.title]] = [
                f"{change.subject}{f' (#{change.pull})' if change.pull else ''}" for change in section.changes
            ]
    assert (ours == history["cliff"]) is not bool(history["because"]), (ours, history["cliff"])
