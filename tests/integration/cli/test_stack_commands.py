"""The command line itself: quick to start, clear when misused, and `slipway doctor`."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import SLIPWAY, clean_environment, run_slipway, stack_home
from tests.waiting import PATIENCE_S


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A home in which nothing was ever started."""
    return clean_environment(SLIPWAY_HOME=str(tmp_path / "home"))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["up", "--help"], ["status"], ["down"], ["doctor"], ["--version"], ["no-such"]]
)
def test_the_stacks_commands_start_without_prefect(arguments: list[str], env: Mapping[str, str]) -> None:
    """Prefect takes a second to import, pydantic a fifth: commands that need neither import neither."""
    program = (
        "import sys; from prefect_slipway.flows.cli import main; main(sys.argv[1:]); "
        "print('\\nloaded', [name for name in ('prefect', 'pydantic') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=env, capture_output=True, text=True, check=True
    )
    assert answer.stdout.endswith("loaded []\n")


def test_no_command_imports_prefect_before_it_names_the_server(env: Mapping[str, str]) -> None:
    """Prefect reads its settings when it is imported: too early, and the run would be recorded by a server of its own
    that nobody sees. So all options are read without it."""
    program = (
        "import contextlib, io, sys; from prefect_slipway.flows.cli import main\n"
        "from prefect_slipway.flows.cli.commands import COMMANDS\n"
        "for name in COMMANDS:\n"
        "    with contextlib.redirect_stdout(io.StringIO()): main([name, '--help'])\n"
        "    assert 'prefect' not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", program], env=env, check=True)


def test_the_version_is_the_packages(env: Mapping[str, str]) -> None:
    """`slipway --version` is what a bug report needs."""
    from importlib.metadata import version

    answer = run_slipway("--version", env=env)
    assert (answer.returncode, answer.stdout) == (0, f"slipway {version('prefect-slipway')}\n")


@pytest.mark.parametrize("arguments", [["no-such-command"], ["up", "--no-such-option"]])
def test_misuse_is_exit_code_2(arguments: list[str], env: Mapping[str, str]) -> None:
    """What is wrong and where the help is, no traceback."""
    answer = run_slipway(*arguments, env=env)
    assert answer.returncode == 2
    assert re.search(
        r"^slipway.*: no such (command|option): .*\nNext: slipway .*--help\n\Z", answer.stderr, re.MULTILINE
    )


def test_an_impossible_option_is_said_without_a_traceback(env: Mapping[str, str]) -> None:
    """Cause and next action on the error output, exit code 2."""
    answer = run_slipway("up", "--vault-port", "70000", env=env)
    assert answer.returncode == 2
    assert answer.stderr == ("slipway: SLIPWAY_VAULT_PORT: '70000' is not a port\nNext: use a number from 1 to 65535\n")


def test_debug_shows_the_traceback(env: Mapping[str, str]) -> None:
    """SLIPWAY_DEBUG=1 is for bug reports."""
    answer = run_slipway("up", "--vault-port", "70000", env={**env, "SLIPWAY_DEBUG": "1"})
    assert "Traceback" in answer.stderr


def test_a_reader_that_goes_away_is_no_error_message(env: Mapping[str, str]) -> None:
    """`slipway status | head -0`."""
    reading, writing = os.pipe()
    os.close(reading)
    answer = subprocess.run(
        [SLIPWAY, "status"], env=env, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert answer.stderr == ""


def test_status_before_the_first_up_shows_every_part_as_stopped(env: Mapping[str, str]) -> None:
    """Exit code 1, so that a script can ask; and looking makes no folder."""
    answer = run_slipway("status", env=env)
    assert answer.returncode == 1
    assert answer.stdout.count("stopped") == 4
    assert not Path(env["SLIPWAY_HOME"]).exists()


def test_doctor_names_the_command_that_mends(tmp_path: Path, env: Mapping[str, str]) -> None:
    """A missing program is said with the exact command that installs it."""
    only_git = tmp_path / "bin"
    only_git.mkdir()
    for program in ("git", "dockerd"):
        (only_git / program).symlink_to("/bin/true")
    # `doctor` looks into the administrator's folders as well, where docker-registry is not.
    answer = run_slipway("doctor", "--format", "json", env={**env, "PATH": str(only_git)})
    findings = {finding["part"]: finding for finding in json.loads(answer.stdout)}
    assert answer.returncode == 1
    assert findings["registry"]["found"] == "the program docker-registry is not installed"
    assert findings["registry"]["fix"].endswith("apt-get install --no-install-recommends docker-registry")
    assert findings["git"]["fix"] is None


def test_doctor_says_when_ones_own_servers_do_not_answer(env: Mapping[str, str]) -> None:
    """The setting to check is named."""
    own = {"VAULT_ADDR": "http://127.0.0.1:9", "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    answer = run_slipway("doctor", env={**env, **own})
    assert answer.returncode == 1
    assert "check VAULT_ADDR" in answer.stdout
    assert "check PREFECT_API_URL" in answer.stdout


def test_an_interrupted_up_ends_at_once() -> None:
    """Ctrl-C while a part starts: exit code 130, and what was started is still known to `down`."""
    with stack_home() as env:
        command = subprocess.Popen(
            [SLIPWAY, "up"],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # As in a terminal; pytest may have been started with SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        pid_file = Path(env["SLIPWAY_HOME"]) / "run" / "prefect.pid"
        while not pid_file.exists():
            assert command.poll() is None
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=PATIENCE_S)
        *started, said = errors.splitlines()
        assert (command.returncode, said) == (130, "slipway: interrupted")
        assert started and all(line.startswith("> start ") for line in started)
        assert "prefect" in run_slipway("down", env=env).stdout


@pytest.mark.parametrize("arguments", ["history a", "dashboard", "trigger release/app --progress json"])
def test_an_interruption_is_json_as_well(arguments: str, env: Mapping[str, str]) -> None:
    """Before there is a run, while a server does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        command = subprocess.Popen(
            [SLIPWAY, *arguments.split(), "--format", "json"],
            env={**env, "PREFECT_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/api"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        asked, _ = silent.accept()
        with asked:
            command.send_signal(signal.SIGINT)
            printed, said = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 130
    failed = json.loads(printed)
    assert (failed["error"]["cause"], failed["error"]["message"]) == ("Interrupted", "interrupted")
    if "--progress" in arguments:
        assert json.loads(said)["event"] == "error"
    else:
        assert said == "slipway: interrupted\n"


def test_an_interruption_within_pydantic_is_one() -> None:
    """It passes on what interrupts its serialization as an error of its own."""
    script = (
        "import os, sys, signal; from pydantic import BaseModel, model_serializer\n"
        "class Model(BaseModel):\n"
        "    @model_serializer\n"
        "    def serialized(self): signal.raise_signal(signal.SIGINT)\n"
        "import prefect_slipway.flows.cli as cli; import prefect_slipway.flows.cli.status as status\n"
        "status.run = lambda args: Model().model_dump(); sys.exit(cli.main(['status']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "slipway: interrupted\n")
