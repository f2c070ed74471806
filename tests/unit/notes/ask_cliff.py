"""Ask git-cliff about the histories of `cliff.json`, and write what it says.

`python -m tests.unit.notes.ask_cliff`, with `git-cliff` on PATH (`pip install git-cliff`).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.git_repository import commit, git

TABLE = Path(__file__).with_name("cliff.json")
_GROUPS = {"Features": "feat", "Bug Fixes": "fix", "Performance": "perf"}


def main() -> None:
    table = json.loads(TABLE.read_text())
    version = subprocess.run(["git-cliff", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    for history in table["histories"]:
        history["cliff"] = _asked(history["messages"])
    TABLE.write_text(json.dumps({"tool": version, "histories": table["histories"]}, indent=2) + "\n")


def _asked(messages: list[str]) -> dict[str, list[str]]:
    """Subjects by type, the newest first, and those that break something."""
    with tempfile.TemporaryDirectory() as folder:
        git(Path(folder), "init", "--quiet", "--initial-branch=main")
        made: list[str] = []
        for message in messages:
            made.append(commit(Path(folder), message.format(*made), {}))
        asked = ["git-cliff", "--context", "--offline"]
        done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = {"breaking": [], "feat": [], "fix": [], "perf": []}
    release: dict[str, Any]
    for release in json.loads(done.stdout):
        for each in reversed(release["commits"]):
            group = next((kind for title, kind in _GROUPS.items() if each["group"].endswith(title)), None)
            # Its templates write the subject as its first line.
            subject = each["message"].split("\n")[0]
            if group is not None:
                found[group].append(subject)
            if each["breaking"]:
                found["breaking"].append(subject)
    return found


if __name__ == "__main__":
    main()
