"""A build that fails says where and why, and leaves neither tag nor reservation."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.engine import private_engine
from tests.git_repository import make_repository
from tests.integration.faults.conftest import Make
from tests.releases import BASE, Traces, complaint, run_line
from tests.small_disk import small_disk
from tests.warm import WarmStarter


def test_a_missing_dockerfile_is_said(commands: WarmStarter, traces: Traces, source: Make) -> None:
    """Where it was looked for, and the option that names another."""
    folder = source()
    (folder / "Dockerfile").unlink()
    said = complaint(commands.run("release", folder, "--format", "json"))
    assert said.startswith(f"there is no Dockerfile in {folder}\nNext: name the Dockerfile with --file")
    traces.assert_failed(folder.name, "there is no Dockerfile")


def test_a_syntax_error_shows_the_line(commands: WarmStarter, traces: Traces, source: Make) -> None:
    """The Dockerfile's excerpt, the bad line marked."""
    folder = source("FROM scratch\nCOPPY busybox /bin/busybox\n")
    said = complaint(commands.run("release", folder, "--format", "json"))
    assert "unknown instruction: COPPY" in said
    marked = [line for line in said.splitlines() if ">>>" in line]
    assert len(marked) == 1
    assert "2 | >>> COPPY busybox /bin/busybox" in marked[0]
    traces.assert_failed(folder.name, "unknown instruction: COPPY")


def test_a_failing_step_shows_its_status_and_last_lines(commands: WarmStarter, traces: Traces, source: Make) -> None:
    """The step as the Dockerfile has it, its exit code, what it said last, the line."""
    folder = source(BASE + run_line("echo all was well; echo until now >&2; exit 7"))
    said = complaint(commands.run("release", folder, "--format", "json"))
    first, _, details = said.partition("\n")
    assert first.startswith("step '[2/2] RUN ")
    assert first.endswith("failed with exit code 7")
    assert "all was well" in details
    assert "until now" in details
    assert "3 | >>> RUN" in details
    traces.assert_failed(folder.name, "failed with exit code 7")


def test_a_base_image_that_cannot_be_pulled_is_named(commands: WarmStarter, traces: Traces, source: Make) -> None:
    """The image and why, the line that wants it."""
    folder = source("FROM 127.0.0.1:9/no/such:1\n")
    said = complaint(commands.run("release", folder, "--format", "json"))
    assert said.startswith("the image 127.0.0.1:9/no/such:1 cannot be pulled: ")
    assert "1 | >>> FROM 127.0.0.1:9/no/such:1" in said
    traces.assert_failed(folder.name, "cannot be pulled")


@pytest.mark.root
def test_a_builders_full_disk_is_said(commands: WarmStarter, traces: Traces, source: Make, short_path: Path) -> None:
    """Not the step's own words alone: that the builder's disk is full, and what makes room."""
    folder = source(BASE + run_line("dd if=/dev/zero of=/big bs=1M count=100"))
    with small_disk(short_path, "48m"), private_engine(short_path) as builder:
        said = complaint(commands.run("release", folder, "--builder", builder, "--network", "none", "--format", "json"))
    assert said.startswith(f"builder {builder}: no space left on its disk in step '[2/2] RUN ")
    assert "Next: free space on the builder" in said
    traces.assert_failed(folder.name, "no space left")


@pytest.mark.root
def test_a_full_home_is_said(commands: WarmStarter, traces: Traces, tmp_path: Path) -> None:
    """A source that does not fit below SLIPWAY_HOME: which folder is full."""
    large = random.Random(0).randbytes(500_000).hex()
    repository = make_repository(tmp_path / "app-large", {"Dockerfile": "FROM scratch\n", "large": large})
    work = traces.connection.home / "work"
    work.mkdir(exist_ok=True)
    with small_disk(work, "64k"):
        said = complaint(commands.run("release", f"file://{repository}", "--format", "json"))
        assert list(work.iterdir()) == []
    assert "no space is left" in said
    assert "Next: free space in SLIPWAY_HOME" in said
    traces.assert_failed("app-large", "space")
