"""Released images are built again from what their provenance says, and compared by their digests."""

from __future__ import annotations

import json
from pathlib import Path

from tests.git_repository import git
from tests.integration.release.keys import KEY, SIGNED, Place
from tests.releases import BASE, Traces, complaint, make_source, result_of, run_line
from tests.warm import WarmStarter

NAMED = "ARG COLOUR=none\nARG BASE\nFROM ${BASE} AS first\nARG COLOUR\n" + run_line("echo $COLOUR > /colour")
FINAL = NAMED + "FROM first AS final\nLABEL of=dockerfile\nFROM first AS unused\n"


def _commit(top: Path, subject: str) -> None:
    if not (top / ".git").exists():
        git(top, "init", "--quiet", "--initial-branch=main")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message", subject)


def test_a_release_is_rebuilt_and_that_is_signed(
    commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path
) -> None:
    """With its build arguments, labels, target, Dockerfile and subdirectory, and on the base image of then, though the
    tag has moved; the source has moved on, too. A later verification requires it."""
    registry = str(traces.connection.registry)
    base = make_source(tmp_path / "base-of-rebuilt", BASE)
    options = ("--image", f"{registry}/base-of-rebuilt", *place.credentials)
    result_of(commands.run("release", base, *options, "--version", "1.0.0", "--moving-tags", env=place.env))

    top = tmp_path / "rebuilt"
    source = make_source(top / "services" / "app")
    (source / "Image.dockerfile").write_text(FINAL)
    _commit(top, "feat: begin")
    image = f"{registry}/app-rebuilt"
    args = ("--build-arg", "COLOUR=blue", "--build-arg", f"BASE={registry}/base-of-rebuilt:latest")
    how = (
        "--path",
        "services/app",
        "--file",
        "Image.dockerfile",
        "--target",
        "final",
        "--label",
        "a=b",
    )
    made = ("--image", image, *args, *how, *SIGNED, *place.credentials)
    released = result_of(
        commands.run(
            "release", top, *made, "--version", "1.0.0", "--reproducible", "--annotation", "c=d", env=place.env
        )
    )

    (base / "more").write_text("another base\n")
    (base / "Dockerfile").write_text(BASE + "COPY more /more\n")
    result_of(commands.run("release", base, *options, "--version", "1.1.0", "--moving-tags", env=place.env))
    (source / "Image.dockerfile").write_text("FROM scratch\n")
    _commit(top, "feat: another image")

    verify = ("verify", f"{image}:1.0.0", "--key", KEY, "--rebuilt", *place.credentials)
    assert "NotRebuilt" in commands.run(*verify, env=place.env).stdout
    rebuild = ("rebuild", f"{image}:1.0.0", "--source", str(top), *place.credentials)
    again = commands.run(*rebuild, *SIGNED, env=place.env)
    found = result_of(again)
    assert (found["rebuilt"], found["digest"], found["platforms"]) == (
        True,
        released["digest"],
        released["platforms"],
    )
    assert found["signed_by"] == released["signed_by"]
    assert "CACHED" not in again.stderr
    assert json.loads(commands.run(*verify, env=place.env).stdout)["rebuilt"] is True
    traces.assert_nothing_left()


def test_what_cannot_be_repeated_is_told(commands: WarmStarter, traces: Traces, place: Place, tmp_path: Path) -> None:
    """A step that gives another result each time: which layer. An image that was not released to be reproducible."""
    source = make_source(tmp_path / "by-chance", BASE + run_line("cat /proc/sys/kernel/random/uuid > /chance"))
    _commit(source, "feat: begin")
    image = f"{traces.connection.registry}/by-chance"
    made = ("--image", image, *place.credentials)
    result_of(commands.run("release", source, *made, "--version", "1.0.0", "--reproducible", env=place.env))
    rebuild = ("--source", str(source), *SIGNED, *place.credentials)
    ended = commands.run("rebuild", f"{image}:1.0.0", *rebuild, env=place.env)
    assert "other files in layer 2: RUN /bin/busybox sh -c cat" in complaint(ended)
    error = json.loads(ended.stdout)
    assert (error["rebuilt"], error["error"]["cause"]) == (False, "NotRebuilt")

    result_of(commands.run("release", source, *made, "--version", "1.1.0", env=place.env))
    ended = commands.run("rebuild", f"{image}:1.1.0", *rebuild, env=place.env)
    assert "not built to be reproducible" in complaint(ended)
    verify = ("verify", f"{image}:1.0.0", "--key", KEY, "--rebuilt", *place.credentials)
    assert commands.run(*verify, env=place.env).code == 1
