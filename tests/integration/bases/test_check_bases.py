"""A base image moves in the real registry: a patch release is scheduled, once, of the commit that was released."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.conftest import RunningStack
from tests.git_repository import commit
from tests.integration.bases.conftest import Application, make_application
from tests.releases import complaint
from tests.warm import WarmStarter

DOCKERFILE = "ARG TAG=1\nFROM PLACE/base:$TAG\nCOPY Dockerfile /\n"


@pytest.fixture(scope="module")
def application(
    stack: RunningStack, commands: WarmStarter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Application]:
    folder = tmp_path_factory.mktemp("bases")
    yield make_application(stack, commands, folder, "bases", DOCKERFILE)
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
        assert quiet["outcome"] == "1 base image, none changed"
        assert quiet["version"] == first["version"]
    assert application.probe.runs() == []

    application.move("2")
    moved = application.check()
    assert moved["outcome"].startswith(f"{application.place}/base:1 changed: patch release ")
    [run] = application.probe.runs()
    assert run["id"] == moved["run_id"]
    assert run["state"]["type"] == "SCHEDULED"
    assert run["parameters"]["request"] == {
        "source": str(application.folder / "app.git"),
        "image": application.image,
        "bump": "patch",
        "checkout": {"ref": application.revision},
        "version": {"again": True},
    }
    [said] = moved["moved"]
    before, after = said.rpartition(" -> ")[0].rpartition(" ")[2], said.rpartition(" -> ")[2]
    assert before.startswith("sha256:")
    assert after.startswith("sha256:")
    assert before != after

    again = application.check()
    assert "changed: the patch release" in again["outcome"]
    assert again["run_id"] == run["id"]
    assert len(application.probe.runs()) == 1

    second = application.release("--ref", application.revision, "--again")
    assert second["digest"] != first["digest"]
    after_it = application.check()
    assert after_it["outcome"] == "1 base image, none changed"
    assert after_it["version"] == second["version"]
    assert len(application.probe.runs()) == 1


def test_what_cannot_be_checked(application: Application) -> None:
    """An unknown deployment fails the run, and says which."""
    said = complaint(application.commands.run("check-bases", application.probe.name, "release/none-such"), 2)
    assert "no deployment has the name 'release/none-such'" in said
