"""`--call`, `--check` and `-f URL`: what is asked of the builder beside a build."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import run_slipway
from tests.contract.buildkit.parts import Engine, busybox_context
from tests.integration.build.compared import environment
from tests.serving import folder_served

STAGES = "FROM scratch AS one\nARG W=w\nCOPY busybox /\nFROM one AS two\nLABEL a=b\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return busybox_context(tmp_path / "source", STAGES)


def call(engine: Engine, source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = run_slipway("build", ".", *arguments, env=environment(engine, source.parent), cwd=source)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_what_can_be_built(engine: Engine, source: Path) -> None:
    """Stages and arguments are on standard output, for people or as JSON, and as BuildKit tells them to buildx."""
    for method in ("targets", "outline"):
        ours = call(engine, source, "--call", method, "--target", "one")
        assert ours.returncode == 0, ours.stderr
        command = ("docker", "buildx", "build", ".", "--print", method, "--target", "one")
        env = environment(engine, source.parent, BUILDX_EXPERIMENTAL="1")
        theirs = subprocess.run(command, env=env, cwd=source, capture_output=True, text=True, check=True)
        assert ours.stdout.strip() == theirs.stdout.strip()
        found = json.loads(call(engine, source, "--call", f"{method},format=json").stdout)
        assert found["args" if method == "outline" else "targets"]


def test_the_metadata_of_a_call(engine: Engine, source: Path) -> None:
    """The answer is in the metadata file, decoded."""
    call(engine, source, "--call", "targets", "--metadata-file", "m.json", "-q").check_returncode()
    assert [each["name"] for each in json.loads((source / "m.json").read_text())["result.json"]["targets"]] == [
        "one",
        "two",
    ]


def test_nothing_is_built(engine: Engine, source: Path) -> None:
    """Outputs of a call are passed over; the methods are known beforehand."""
    assert call(engine, source, "--call", "outline", "-o", "out").returncode == 0
    assert not (source / "out").exists()
    for method in ("outline,what", "outline,ignorestatus=perhaps"):
        assert call(engine, source, "--call", method).returncode == 2
    assert "does not support the call 'nonsense'" in call(engine, source, "--call", "nonsense").stderr


def test_a_check_that_the_builder_cannot_make(engine: Engine, source: Path) -> None:
    """Debian's engine is older than the frontend's rules, and that is said."""
    for option in (["--check"], ["--call", "check"], ["--call=lint"]):
        done = call(engine, source, *option)
        assert done.returncode != 0
        assert "does not support the call 'check'" in done.stderr
    assert call(engine, source, "--check=false").returncode == 0


def test_a_dockerfile_behind_a_url(engine: Engine, source: Path) -> None:
    """The builder downloads it, and builds it with the context of here; what is not there is the cause."""
    (source / "Dockerfile").rename(source.parent / "Elsewhere")
    with folder_served(source.parent) as url:
        done = call(engine, source, "-f", f"{url}/Elsewhere", "-o", "out")
        assert done.returncode == 0, done.stderr
        assert (source / "out" / "busybox").is_file()
        assert '"two"' in call(engine, source, "-f", f"{url}/Elsewhere", "--call", "targets,format=json").stdout
        missing = call(engine, source, "-f", f"{url}/nothing")
    assert missing.returncode != 0
    assert "404" in missing.stderr
    assert "check the URL" in missing.stderr
