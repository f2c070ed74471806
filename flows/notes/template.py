"""Notes by a template of the source's own (Jinja's syntax), which a stranger may have written.

It runs in a sandbox, in a process that is ended after some time, and what it writes is made harmless.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

from prefect_slipway.flows.notes import program
from prefect_slipway.flows.notes.changes import Change, Changes, Section
from prefect_slipway.flows.notes.write import safe
from prefect_slipway.flows.values.notes import MAX_CHARACTERS
from prefect_slipway.infra.common.child_process import child_process
from prefect_slipway.infra.domain.errors import NotesTemplateInvalid
from prefect_slipway.infra.domain.forge import Forge
from prefect_slipway.infra.domain.outside import one_line, plain

MOST_BYTES = 64 << 10
TIMEOUT_S = 10.0

# What Markdown makes HTML, a picture or another character of, unless it is escaped; and addresses that are programs.
_MARKUP = re.compile(r"(?<!\\)(\\*)(<(?=[A-Za-z/!?])(?!https?://[^\s<>]*>)|!(?=\[)|&(?=[#A-Za-z]))")
_PROGRAM = re.compile(r"([(<]\s*|\]:\s*)(javascript|vbscript|data|file)(?=\s*\\?:)", re.IGNORECASE)


async def filled(
    name: str,
    template: str,
    changes: Changes,
    forge: Forge | None,
    span: tuple[str, str] | None,
    version: str | None,
    previous: str | None,
    *,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """The notes that a template makes of the changes. Raises NotesTemplateInvalid."""
    values = {
        "version": version,
        "previous": previous,
        "breaking": [_values(change, forge) for change in changes.breaking.changes],
        "sections": [_section(section, forge) for section in changes.sections],
        "contributors": [safe(each) for each in changes.contributors],
        "commits": changes.commits,
        "compare_url": forge.compare(*span) if forge is not None and span is not None else None,
    }
    asked = json.dumps({"template": template, "values": values, "most": MAX_CHARACTERS}).encode()
    argv = [sys.executable, str(Path(program.__file__ or ""))]
    # It sees nothing of this process's environment.
    env = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONIOENCODING": "utf-8"}
    try:
        async with (
            asyncio.timeout(timeout_s),
            child_process(*argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=env) as child,
        ):
            written, said = await child.communicate(asked)
    except TimeoutError:
        raise NotesTemplateInvalid(f"the template {name} did not end within {timeout_s:g} s") from None
    if child.returncode != 0:
        why = one_line(said.decode(errors="replace"))[-300:] if child.returncode == program.REFUSED else ""
        raise NotesTemplateInvalid(f"the template {name} cannot be filled in{f': {why}' if why else ''}")
    return _harmless(written.decode(errors="replace")).strip()


def _harmless(written: str) -> str:
    text = _MARKUP.sub(lambda found: found[0] if len(found[1]) % 2 else f"{found[1]}\\{found[2]}", plain(written))
    return _PROGRAM.sub("\\1\\2\u2060", text)


def _section(section: Section, forge: Forge | None) -> dict[str, Any]:
    changes = [_values(change, forge) for change in section.changes]
    return {"title": safe(section.title), "changes": changes, "left_out": section.left_out}


def _values(change: Change, forge: Forge | None) -> dict[str, Any]:
    pull = change.pull
    return {
        "type": safe(change.type),
        "scope": safe(change.scope) if change.scope else None,
        "subject": safe(change.subject),
        "breaking": "\n".join(map(safe, change.breaking.split("\n"))),
        "commit": change.revision,
        "commit_url": forge.commit(change.revision) if forge is not None else None,
        "pull": pull,
        "pull_url": forge.pull(pull) if forge is not None and pull else None,
        "issues": list(change.issues),
        "issue_urls": [forge.issue(each) for each in change.issues] if forge is not None else [],
    }
