"""Releases of git repositories that stand still at one moment, to be killed there."""

from __future__ import annotations

import os
import sys
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from tests.git_repository import commit, git, make_bare
from tests.git_server import GitServer
from tests.prefect_server import PrefectServer
from tests.releases import BASE, make_source, run_line

DEPLOYMENT = "release/any-source"
BUILDING = "building"

# What `held` waits for. Fetching, finding the builder and reading the credentials run together.
MOMENTS = {
    "fetched": "< fetch source",
    "reserved": "< plan version",
    "waiting for an approval": "waiting until",
    BUILDING: "> build and push",
    "pushed": "< build and push",
    "verified": "< verify",
    "tagged": "< tag",
    "announced": "> record",
    "recorded": "< record",
    "cleaned up": "< clean up",
}


@dataclass
class Case:
    """A release that is disturbed. `ended`: its run's state then; `again`: how it ended when it was run again.

    `folder`: where `held` and the test meet. `mark`: in the text of the build's step, which tells it from all others.
    """

    moment: str
    folder: Path
    repository: Path
    request: dict[str, Any]
    mark: str
    run: str = ""
    ended: dict[str, Any] = field(default_factory=dict)
    again: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.repository.stem

    @property
    def source(self) -> str:
        return str(self.request["source"])

    def start(self, server: PrefectServer) -> None:
        command = f"{sys.executable} -m tests.integration.worker.held {self.folder}"
        self.run = server.start(DEPLOYMENT, self.request, {"command": command})

    def retry(self, server: PrefectServer) -> None:
        (self.folder / "held").unlink()
        server.retry(self.run)

    def reached(self) -> bool:
        """Whether the run stands at its moment (or its step runs in the builder)."""
        return (self.folder / "held").exists() and (
            self.moment != BUILDING or any(step.children() for step in self.steps())
        )

    def process(self) -> psutil.Process:
        """The run's, once the moment is reached."""
        return psutil.Process(int((self.folder / "held").read_text()))

    def steps(self) -> list[psutil.Process]:
        """Processes of the build's step."""
        return [
            p for p in psutil.process_iter(["cmdline"]) if any(self.mark in word for word in p.info["cmdline"] or ())
        ]

    def log(self, server: PrefectServer) -> str:
        return "\n".join(f"{each['timestamp']} {each['message']}" for each in server.log(self.run))

    def go(self) -> None:
        """Let the run go on, and its build's step end."""
        (self.folder / "go").touch()
        for shell in self.steps():
            for sleeping in shell.children():
                sleeping.kill()


def make_case(moment: str, folder: Path, served: GitServer) -> Case:
    """One whose build lasts until `go` if it is to be killed in it: all cases are to stand still together."""
    mark = uuid.uuid4().hex
    name = f"app-{mark[:8]}"
    # The shell stays, because it has something to do after the sleep.
    step = f": {mark}; sleep 3600; true" if moment == BUILDING else f": {mark}"
    source = make_source(folder / name / "work", BASE + run_line(step))
    git(source, "init", "--quiet", "--initial-branch=main")
    commit(source, "feat: begin", {})
    repository = make_bare(served.root / f"{name}.git", source)
    git(repository, "config", "http.receivepack", "true")
    (folder / name / "moment").write_text(MOMENTS[moment])
    request = {"source": served.url(repository.name), "approval": {"required": moment == "waiting for an approval"}}
    case = Case(moment, folder / name, repository, request, mark)
    if moment == BUILDING:
        case.go()
    return case


def start_all(cases: list[Case], server: PrefectServer, *, retry: bool = False) -> None:
    """Start them (or start them again) and wait until each has reached its moment."""
    for case in cases:
        case.retry(server) if retry else case.start(server)
    try:
        server.until(partial(all_reached, cases))
    except AssertionError as error:
        late = [f"{case.moment}: {server.state(case.run)}\n{case.log(server)}" for case in cases if not case.reached()]
        raise AssertionError("\n".join(late)) from error


def all_reached(cases: list[Case]) -> bool:
    return all(case.reached() for case in cases)


def worker_environment(env: dict[str, str], folder: Path) -> dict[str, str]:
    """`env` so that runs find `held`, and temporary files of theirs are in a place of their own."""
    (folder / "tmp").mkdir()
    return {**env, "PYTHONPATH": os.fspath(Path(__file__).parents[3]), "TMPDIR": str(folder / "tmp")}
