"""Bases of build stages: they leave no trace in what is released, and their moves lead to a patch release as well."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from prefect_slipway.flows.request.release import ReleaseRequest
from tests.conftest import RunningStack
from tests.integration.bases.conftest import Application, make_application
from tests.warm import WarmStarter

# `tool` is built with, `copied` is copied from, `base` is what the image begins with, and nothing needs `idle`.
DOCKERFILE = """
FROM PLACE/tool:1 AS build
FROM PLACE/idle:1 AS idle
FROM PLACE/base:1
COPY --from=build /content /tool
COPY --from=PLACE/copied:1 /content /copied
"""
NONE_CHANGED = "3 base images, none changed"


def moved_to_one_run(application: Application, base: str, runs: int) -> str:
    """The digest that a base has moved to; checked twice, it led to one run, of the released commit."""
    first, again = application.check(), application.check()
    assert first["outcome"].startswith(f"{application.place}/{base}:1 changed: patch release ")
    assert again["run_id"] == first["run_id"]
    assert len(application.probe.runs()) == runs
    run = next(run for run in application.probe.runs() if run["id"] == first["run_id"])
    request = ReleaseRequest.read(run["parameters"]["request"])
    asked = (request.checkout.ref, request.bump, request.version.only_new)
    assert asked == (application.revision, "patch", False)
    (said,) = first["moved"]
    assert re.match(rf"{re.escape(application.place)}/{base}:1: linux/\S+ sha256:", said)
    return str(said.rpartition(" -> ")[2])


def test_the_base_of_a_build_stage_moves(stack: RunningStack, commands: WarmStarter, tmp_path: Path) -> None:
    """One patch release for each base that was built with or copied from, and none for a stage that nothing needs."""
    application = make_application(stack, commands, tmp_path, "stages", DOCKERFILE)
    for base in ("tool", "idle", "copied", "base"):
        application.move("1", base)
    digests = [application.release()["digest"]]
    assert application.check()["outcome"] == NONE_CHANGED
    application.move("2", "idle")
    assert application.check()["outcome"] == NONE_CHANGED
    assert application.probe.runs() == []

    seen = []
    for number, base in enumerate(("tool", "copied", "base"), start=1):
        application.move("2", base)
        seen.append(moved_to_one_run(application, base, number))
        # What that run releases is another image, and with it all is quiet.
        digests.append(application.release("--ref", application.revision, "--again")["digest"])
        assert application.check()["outcome"] == NONE_CHANGED
    assert len(application.probe.runs()) == 3
    assert len(set(seen)) == 3
    assert len(set(digests)) == 4
    shutil.rmtree(tmp_path / "app.git")


def test_the_base_is_in_a_context_or_chosen_by_the_platform(
    stack: RunningStack, commands: WarmStarter, tmp_path: Path
) -> None:
    """The image that a context names is looked at, not what the Dockerfile calls it; other contexts are no images."""
    dockerfile = "FROM base AS for-amd64\nFROM base AS for-arm64\nFROM for-${TARGETARCH}\nCOPY --from=files /x /x\n"
    place = f"{stack.connection.registry}/contexts"
    contexts = {"base": f"docker-image://{place}/base:1", "files": "files"}
    application = make_application(
        stack, commands, tmp_path, "contexts", dockerfile, {"files/x": "x"}, build={"contexts": contexts}
    )
    application.move("1")
    here = {**contexts, "files": str(tmp_path / "app.git" / "files")}
    application.release(*(f"--build-context={name}={where}" for name, where in here.items()))
    assert application.check()["outcome"] == "1 base image, none changed"
    application.move("2")
    moved_to_one_run(application, "base", 1)
