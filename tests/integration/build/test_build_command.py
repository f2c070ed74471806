"""`slipway build`: buildx's options and wording on BuildKit alone."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.conftest import SLIPWAY, Run, RunningStack
from tests.waiting import PATIENCE_S


def _source(folder: Path, *lines: str) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text("\n".join(["FROM scratch", "COPY busybox /busybox", *lines]) + "\n")
    shutil.copy("/bin/busybox", folder / "busybox")
    return folder


def test_a_build_reads_like_buildx(slipway: Run, tmp_path: Path) -> None:
    """Plain lines on standard error; what is cached says CACHED; standard output stays empty."""
    source = _source(tmp_path / "plain", 'RUN ["/busybox", "echo", "hello there"]')
    first = slipway("build", source)
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    assert re.search(r"^#\d+ \[2/2\] RUN \[\"/busybox\"", first.stderr, re.MULTILINE)
    assert re.search(r"^#\d+ [\d.]+ hello there$", first.stderr, re.MULTILINE)
    again = slipway("build", source)
    assert len(re.findall(r"^#\d+ CACHED$", again.stderr, re.MULTILINE)) == 2
    assert not re.search(r"^#\d+ [\d.]+ hello there$", again.stderr, re.MULTILINE)


def test_a_push_to_the_embedded_registry(slipway: Run, stack: RunningStack, tmp_path: Path) -> None:
    """--push takes the registry's credential from Vault; -q prints the image's id; the metadata are the exporter's."""
    source = _source(tmp_path / "push")
    name = f"{stack.connection.registry}/by-hand:1"
    done = slipway("build", source, "--push", "-t", name, "-q", "--metadata-file", tmp_path / "metadata.json")
    assert done.returncode == 0, done.stderr
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    assert done.stdout.strip() == metadata["containerimage.config.digest"]


def test_events_as_json(slipway: Run, tmp_path: Path) -> None:
    """--progress json is an event a line, for programs; buildx's name for it is understood."""
    done = slipway("build", _source(tmp_path / "json", 'RUN ["/busybox", "echo", "x"]'), "--progress", "rawjson")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"build_step", "build_log"} <= {event["event"] for event in events}
    assert any(event["event"] == "build_log" and event["data"] == "x\n" for event in events)


def test_bad_options_are_usage_errors(slipway: Run, tmp_path: Path) -> None:
    """Each says which option; exit code 2."""
    source = _source(tmp_path / "bad")
    for options in (
        ["--label", "=x"],
        ["--push"],
        ["--output", "type=nonsense"],
        ["--push", "--output", "type=registry"],
        ["--builder", "ftp://x"],
    ):
        done = slipway("build", source, *options)
        assert done.returncode == 2, (options, done.stderr)
        assert "Traceback" not in done.stderr


def test_outputs_secrets_and_a_dockerfile_from_standard_input(stack: RunningStack, tmp_path: Path) -> None:
    """A folder gets the result of a build whose Dockerfile was piped in and whose RUN read a secret."""
    source = _source(tmp_path / "outputs")
    dockerfile = (
        "FROM scratch AS made\nCOPY busybox /busybox\n"
        'RUN --mount=type=secret,id=token ["/busybox", "sh", "-c", "/busybox wc -c < /run/secrets/token > /length"]\n'
        "FROM scratch\nCOPY --from=made /length /\n"
    )
    done = subprocess.run(
        [SLIPWAY, "build", source, "-f", "-", "--secret", "id=token,env=TOKEN", "-o", tmp_path / "out"],
        env={**stack.env, "TOKEN": "12345"},
        input=dockerfile,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "length").read_text().strip() == "5"


def test_a_builder_tells_what_it_has(slipway: Run) -> None:
    """Workers, disk usage and history, a line each."""
    assert "linux/" in slipway("builder", "info").stdout
    assert " records" in slipway("builder", "du").stdout.splitlines()[-1]
    assert slipway("builder", "history").returncode == 0


def test_sigterm_ends_the_build_on_the_daemon_too(stack: RunningStack, tmp_path: Path) -> None:
    """Exit code 130, and the step's process is gone."""
    mark = f"30.{time.time_ns() % 10**6}"
    source = _source(tmp_path / "long", f'RUN ["/busybox", "sleep", "{mark}"]')
    process = subprocess.Popen(
        [SLIPWAY, "build", source, "--no-cache"], env=stack.env, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "RUN" in line:
            break
    deadline = time.monotonic() + 30
    while not _runs(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=PATIENCE_S) == 130, rest
    assert not _runs(mark)


def _runs(mark: str) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes():
                    return True
            except OSError:
                continue
    return False
