"""Commands where a folder cannot be written or is gone, a standard stream is closed, or a terminal knows no Unicode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.conftest import SLIPWAY, clean_environment, run_program
from tests.git_repository import commit, git, make_repository

# Bind mounts of its own, in which these folders cannot be written: for root and for others.
READ_ONLY = 'for each in $FOLDERS; do mount --bind "$each" "$each" && mount -o remount,bind,ro "$each" || exit 9; done'


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return clean_environment(SLIPWAY_HOME=str(tmp_path / "state" / "home"))


def read_only(*folders: Path, arguments: list[str], env: Mapping[str, str], cwd: Path) -> str:
    """What the command says that fails there."""
    inside = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{READ_ONLY}; cd "$PWD"; exec "$@"', "sh")
    env = {**env, "FOLDERS": " ".join(str(folder) for folder in folders if folder.is_dir())}
    if run_program(*inside, "true", env=env, cwd=cwd).returncode != 0:
        pytest.skip("this machine lets nobody mount")
    done = run_program(*inside, SLIPWAY, *arguments, env=env, cwd=cwd)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path, env: Mapping[str, str]) -> None:
    """By what fetches a source into it, and by the check of this machine."""
    state = tmp_path / "state"
    state.mkdir()
    for arguments in (["plan", "https://127.0.0.1:1/a.git", "--image", "127.0.0.1:1/a"], ["doctor"], ["up"]):
        said = read_only(state, arguments=arguments, env=env, cwd=tmp_path)
        assert str(state / "home") in said
        assert "set SLIPWAY_HOME to a directory of your own" in said


def test_no_folder_for_temporary_files_is_named(tmp_path: Path, env: Mapping[str, str]) -> None:
    source = make_repository(tmp_path / "source")
    git(source, "update-index", "--assume-unchanged", "Dockerfile")
    arguments = ["plan", ".", "--image", "127.0.0.1:1/a"]
    folders = [Path(name) for name in ("/tmp", "/var/tmp", "/usr/tmp")]
    said = read_only(*folders, source, arguments=arguments, env=env, cwd=source)
    assert "no directory for temporary files can be written to: /tmp, " in said
    assert "Next: set TMPDIR" in said


@pytest.mark.parametrize("command", ["plan . --image 127.0.0.1:1/a", "release", "bake --print", "init"])
def test_a_current_folder_that_is_gone_is_named(command: str, tmp_path: Path, env: Mapping[str, str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = run_program("sh", "-c", f'rmdir "$PWD"; exec {SLIPWAY} {command}', env=env, cwd=gone)
    assert done.stderr == "slipway: the current directory does not exist any more\nNext: change to one that exists\n"
    assert done.returncode == 2


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_as_good_as_one_that_nobody_reads(closed: str, env: Mapping[str, str]) -> None:
    done = run_program("sh", "-c", f"{SLIPWAY} status {closed}", env=env)
    assert done.returncode == 1  # nothing is running
    assert done.stderr == ""
    assert done.stdout.startswith("PART") != (">&- " in f"{closed} " and not closed.startswith("2"))


def test_a_terminal_without_unicode_shows_the_rest(tmp_path: Path, env: Mapping[str, str]) -> None:
    source = make_repository(tmp_path / "source")
    commit(source, "feat: grüße", {"a": "a"})
    for arguments, shown in ((["notes"], "gr\\xfc\\xdfe"), (["help", "release"], "vault:MOUNT/PATH")):
        done = run_program(SLIPWAY, *arguments, env={**env, "PYTHONIOENCODING": "ascii"}, cwd=source)
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize(("text", "why"), [(None, "No such file or directory"), ("a", "has no CA certificate in PEM")])
def test_cas_that_cannot_be_read_are_named(
    name: str, text: str | None, why: str, tmp_path: Path, env: Mapping[str, str]
) -> None:
    """Each library that loads them says something else, at the first request over TLS or before it."""
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    env = {**env, name: str(file), "VAULT_ADDR": "https://vault.example", "VAULT_TOKEN": "token"}
    checked = run_program(SLIPWAY, "doctor", env=env)
    assert f"{name}: {file}: {why}" in checked.stdout
    if name == "SSL_CERT_FILE":
        server = {"PREFECT_API_URL": "https://prefect.example/api"}
        commands = [
            ["plan", ".", "--image", "r.example/a"],
            ["history", "a"],
            ["release", ".", "--image", "r.example/a"],
        ]
    else:
        server, commands = {}, [["key", "vault:transit/a"]] if text is None else []
    make_repository(tmp_path / "source")
    for arguments in commands:
        done = run_program(SLIPWAY, *arguments, env={**env, **server}, cwd=tmp_path / "source")
        _, _, said = done.stderr.rpartition("plan version\n")
        assert said == f"slipway: {name}: {file}: {why}\nNext: name a file with the CAs to trust, or unset it\n"
        assert done.returncode == 2


# To a full disk, and to a descriptor that is open for reading.
UNWRITABLE = ["/dev/full", "/dev/null"]


def run_with(number: int, unwritable: str, arguments: str, env: Mapping[str, str], cwd: Path) -> CompletedProcess[str]:
    """`number`: the stream that cannot be written."""
    way = "<" if unwritable == "/dev/null" else ">"
    return run_program("sh", "-c", f"exec {SLIPWAY} {arguments} {number}{way}{unwritable}", env=env, cwd=cwd)


@pytest.mark.parametrize("unwritable", UNWRITABLE)
@pytest.mark.parametrize("command", ["-V", "help", "release --help", "completion bash", "status", "doctor"])
def test_output_that_cannot_be_written_is_named(
    command: str, unwritable: str, tmp_path: Path, env: Mapping[str, str]
) -> None:
    done = run_with(1, unwritable, command, env, tmp_path)
    assert done.stderr.startswith("slipway: the command's output cannot be written: ")
    assert len(done.stderr.splitlines()) == 2
    assert done.returncode == 1


@pytest.mark.parametrize("unwritable", UNWRITABLE)
@pytest.mark.parametrize(
    ("command", "code"), [("plan nowhere", 1), ("relase", 2), ("plan --nothing", 2), ("config", 0)]
)
def test_a_message_that_cannot_be_written_changes_no_exit_code(
    command: str, code: int, unwritable: str, tmp_path: Path, env: Mapping[str, str]
) -> None:
    assert run_with(2, unwritable, command, env, tmp_path).returncode == code
