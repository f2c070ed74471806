"""Runs that fail before there is a plan: a name says what they are about, and a report has the cause."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest

from tests.releases import Traces, complaint
from tests.warm import WarmStarter

DEV = ("--environment", "dev:workload=deployment/NAME", "--environment", "live:workload=deployment/NAME")
EARLY = [
    (("release", "EMPTY/NAME"), "release NAME", "NAME was not released"),
    (("release", "EMPTY", "--image", "r.example/team/NAME"), "release team/NAME", "team/NAME was not released"),
    (("bake", "--source", "EMPTY/NAME"), "release set NAME", "NAME was not released"),
    (
        ("deploy", "r.example/NAME:1.0.0", "--workload", "deployment/app"),
        "deploy NAME:1.0.0 to deployment/app",
        "r.example/NAME:1.0.0 was not rolled out to deployment/app",
    ),
    (
        ("rollback", "deployment/NAME"),
        "roll back deployment/NAME to previous",
        "deployment/NAME was not rolled back to previous",
    ),
    (("promote", *DEV), "promote deployment/NAME: dev → live", "deployment/NAME: dev → live was not promoted"),
    (("check-bases", "release/NAME"), "check bases of release/NAME", None),
]


@pytest.mark.parametrize(("arguments", "name", "title"), EARLY, ids=lambda value: value[0] if value else "")
def test_a_run_that_fails_early_is_named_and_reported(
    commands: WarmStarter, traces: Traces, tmp_path: Path, arguments: tuple[str, ...], name: str, title: str | None
) -> None:
    """What is known of its request names it; the report has the cause and the next action; its page is printed."""
    unique = f"app-{uuid.uuid4().hex[:8]}"
    (tmp_path / unique).mkdir()  # with no Dockerfile in it
    typed = [argument.replace("NAME", unique).replace("EMPTY", str(tmp_path)) for argument in arguments]
    # No cluster, for those that would look for one.
    ended = commands.run(*typed, env={"KUBECONFIG": str(tmp_path / "none")})
    said = complaint(ended, ended.code)
    (run,) = traces.runs(unique)
    assert run["name"] == name.replace("NAME", unique)
    assert run["state"]["type"] == "FAILED"
    page = re.search(r"^Run: (\S+)$", said, re.MULTILINE)
    assert page is not None
    assert page[1].endswith(f"/flow-run/{run['id']}")
    if title is not None:
        report = traces.report(run["id"])
        cause, _, rest = said.partition("\n")
        assert report.startswith(f"# {title.replace('NAME', unique)}\n")
        assert cause in report
        assert rest.partition("\nRun: ")[0] in report
        assert "| duration |" in report
