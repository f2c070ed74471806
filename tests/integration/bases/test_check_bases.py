"""A base image moves in the real registry: a patch release is scheduled, once, of the commit that was released."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import RunningStack
from tests.git_repository import commit, git
from tests.integration.relay.conftest import Probe
from tests.releases import BASE, complaint, make_source, result_of
from tests.warm import WarmStarter


@dataclass
class Application:
    """A released application. `base`: its base image's repository; the base is the tag 1 there."""

    commands: WarmStarter
    probe: Probe
    folder: Path
    base: str
    image: str
    revision: str

    def move(self, content: str) -> None:
        """Release the base with other content; its tag 1 moves."""
        (self.folder / "base" / "content").write_text(content)
        source = self.folder / "base"
        result_of(
            self.commands.run(
                *("release", source, "--image", self.base, "--version", f"1.{content}.0"),
                *("--moving-tags", "--output", "json"),
            )
        )

    def release(self, *more: str) -> dict[str, Any]:
        source = self.folder / "app.git"
        return result_of(
            self.commands.run("release", source, "--image", self.image, "--output", "json", "--bump", "patch", *more)
        )

    def check(self) -> dict[str, Any]:
        ended = self.commands.run("check-bases", self.probe.name, "--output", "json")
        assert ended.code == 0, ended.stderr
        [result] = json.loads(ended.stdout)
        assert isinstance(result, dict)
        return result


@pytest.fixture(scope="module")
def application(
    stack: RunningStack, commands: WarmStarter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Application]:
    folder = tmp_path_factory.mktemp("bases")
    registry = stack.connection.registry
    base, image = f"{registry}/bases/base", f"{registry}/bases/app"
    make_source(folder / "base", BASE + "COPY content /content\n")
    work = folder / "app.git"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    revision = commit(work, "feat: begin", {"Dockerfile": f"ARG TAG=1\nFROM {base}:$TAG\nCOPY Dockerfile /\n"})
    api = stack.connection.prefect_api_url
    with httpx.Client(base_url=api, trust_env=False) as client:
        flow = client.post("/flows/", json={"name": "release"}).raise_for_status().json()["id"]
        request = {"source": str(work), "image": image, "only_new": True, "bump": "auto"}
        made = client.post(
            "/deployments/", json={"name": "bases", "flow_id": flow, "parameters": {"request": request}}
        ).raise_for_status()
    yield Application(commands, Probe(api, "release/bases", made.json()["id"]), folder, base, image, revision)
    shutil.rmtree(folder)


def test_a_base_moves(application: Application) -> None:
    """Nothing before the first release, nothing while the base stands still; then one patch release, whoever asks how
    often, which builds the released commit and not what came after; after it all is quiet."""
    application.move("1")
    assert application.check()["outcome"] == "not released yet"
    first = application.release()
    commit(application.folder / "app.git", "feat: not released", {"Dockerfile": "FROM nowhere.example.com/x\n"})
    for _ in range(2):
        quiet = application.check()
        assert quiet["outcome"] == "1 base image, none moved"
        assert quiet["version"] == first["version"]
    assert application.probe.runs() == []

    application.move("2")
    moved = application.check()
    assert moved["outcome"].startswith(f"{application.base}:1 moved: patch release ")
    [run] = application.probe.runs()
    assert run["id"] == moved["run_id"]
    assert run["state"]["type"] == "SCHEDULED"
    assert run["parameters"]["request"] | {"git_credentials": None} == {
        "source": str(application.folder / "app.git"),
        "image": application.image,
        "ref": application.revision,
        "path": "",
        "bump": "patch",
        "version": None,
        "only_new": False,
        "git_credentials": None,
    }
    [said] = moved["moved"]
    before, after = said.rpartition(" -> ")[0].rpartition(" ")[2], said.rpartition(" -> ")[2]
    assert before.startswith("sha256:")
    assert after.startswith("sha256:")
    assert before != after

    again = application.check()
    assert "moved: the patch release" in again["outcome"]
    assert again["run_id"] == run["id"]
    assert len(application.probe.runs()) == 1

    second = application.release("--ref", application.revision)
    assert second["digest"] != first["digest"]
    after_it = application.check()
    assert after_it["outcome"] == "1 base image, none moved"
    assert after_it["version"] == second["version"]
    assert len(application.probe.runs()) == 1


def test_what_cannot_be_checked(application: Application) -> None:
    """An unknown deployment fails the run, and says which."""
    said = complaint(application.commands.run("check-bases", application.probe.name, "release/none-such"), 2)
    assert "no deployment is called 'release/none-such'" in said
