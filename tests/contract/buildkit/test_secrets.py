"""Secrets and SSH agents reach the steps that mount them, and nothing else of this machine does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.events import BuildEvent
from prefect_slipway.infra.buildkit.build.request import BuildRequest
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.buildkit.session.sources import SecretEnv, SecretFile, SshSource
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.errors import BuildSecretMissing, InvalidOption, StepFailed
from tests.contract.buildkit.parts import BASE, Engine, build, output_of
from tests.waiting import soon, wait_until

Context = Callable[[str], Path]

MOUNT = "--mount=type=secret,id=token"
SHELL = '["/bin/busybox", "sh", "-c", "{}"]\n'


def run_with(mount: str, command: str) -> str:
    return f"RUN {mount} " + SHELL.format(command)


async def test_a_secret_of_a_file(engine: Engine, context: Context, tmp_path: Path) -> None:
    """The bytes of a file are mounted as they are at the time of the build, and leave no trace in the request."""
    secret = tmp_path / "token"
    secret.write_bytes(b"hush\x00\xff")
    events: list[BuildEvent] = []
    folder = context(BASE + run_with(MOUNT, "/bin/busybox xxd -p /run/secrets/token"))
    await build(engine.address, folder, secrets={"token": SecretFile(secret)}, events=events, no_cache=True)
    assert output_of(events) == "6875736800ff\n"


async def test_a_secret_of_the_environment(engine: Engine, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of a variable is mounted, and masked where a step prints it; several are told apart by their ids."""
    monkeypatch.setenv("TOKEN_A", "a-ünï")
    monkeypatch.setenv("TOKEN_B", "b")
    events: list[BuildEvent] = []
    mounts = "--mount=type=secret,id=a --mount=type=secret,id=b,target=/b,mode=0400"
    command = "cd /; test $(/bin/busybox cat run/secrets/a) = a-ünï && /bin/busybox cat run/secrets/a b; stat -c %a b"
    secrets = {"a": SecretEnv("TOKEN_A"), "b": SecretEnv("TOKEN_B")}
    await build(
        engine.address, context(BASE + run_with(mounts, command)), secrets=secrets, events=events, no_cache=True
    )
    assert output_of(events) == "***b400\n"


@pytest.mark.parametrize("offered", [{}, {"other": SecretEnv("PATH")}], ids=["none", "another"])
async def test_a_secret_that_was_not_given(engine: Engine, context: Context, offered: dict[str, SecretEnv]) -> None:
    """A secret that a step requires is named; one that it does not require is left out."""
    with pytest.raises(BuildSecretMissing, match="'token'"):
        await build(
            engine.address, context(BASE + run_with(f"{MOUNT},required=true", "true")), secrets=offered, no_cache=True
        )
    await build(
        engine.address, context(BASE + run_with(MOUNT, "test ! -e /run/secrets/token")), secrets=offered, no_cache=True
    )


async def test_a_secret_that_goes_away(engine: Engine, context: Context, tmp_path: Path) -> None:
    """A source that is not there is refused before the build; one that vanishes during it is the build's cause."""
    secret = tmp_path / "token"
    folder = context(BASE + run_with(MOUNT, "true"))
    with pytest.raises(InvalidOption, match="does not exist"):
        await build(engine.address, folder, secrets={"token": SecretFile(secret)})
    with pytest.raises(InvalidOption, match="environment variable SLIPWAY_NOT_SET does not exist"):
        await build(engine.address, folder, secrets={"token": SecretEnv("SLIPWAY_NOT_SET")})
    with secret.open("wb") as large:
        large.truncate(500 * 1024 + 1)
    with pytest.raises(InvalidOption, match="500 KiB"):
        await build(engine.address, folder, secrets={"token": SecretFile(secret)})
    os.truncate(secret, 0)

    def remove(event: BuildEvent) -> None:
        secret.unlink(missing_ok=True)

    request = BuildRequest(folder, secrets={"token": SecretFile(secret)}, network="none", no_cache=True)
    async with BuildKit(BuilderAddress.parse(engine.address)) as builder:
        with pytest.raises(InvalidOption, match="does not exist"):
            await builder.build(request, Anonymous(), remove)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """An agent with one key; its socket."""
    socket = tmp_path / "agent.sock"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
        env = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", str(tmp_path / "key")], env=env, check=True)
        yield socket
    finally:
        agent.terminate()
        agent.wait()


def ssh_add(root: Path) -> None:
    """ssh-add and the libraries it wants, as they lie on this machine."""
    program = shutil.which("ssh-add")
    assert program is not None
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for name in (program, *re.findall(r"(/\S+)", libraries)):
        target = root / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, target)


async def test_an_agent_is_reached(
    engine: Engine, context: Context, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step with an ssh mount may use the keys of SSH_AUTH_SOCK's agent, or of one named by its socket, and may not
    take them out of it."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    ssh_add(context("") / "root")
    for ssh, mount in (
        ({"default": SshSource()}, "--mount=type=ssh"),
        ({"work": SshSource((agent,))}, "--mount=type=ssh,id=work"),
    ):
        events: list[BuildEvent] = []
        script = "/usr/bin/ssh-add -l; /usr/bin/ssh-add -D; /usr/bin/ssh-add -l"
        folder = context(BASE + "COPY root /\n" + run_with(mount, script))
        await soon(build(engine.address, folder, ssh=ssh, events=events, no_cache=True))
        lines = output_of(events).splitlines()
        assert len([line for line in lines if "(ED25519)" in line]) == 2, lines
        assert "Failed to remove all identities." in lines


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa", "pem", "pkcs8"])
async def test_keys_in_files(engine: Engine, context: Context, tmp_path: Path, kind: str) -> None:
    """A step may sign with keys that no agent holds: OpenSSH itself checks the signatures."""
    keys = [tmp_path / "one", tmp_path / "two"]
    options = {"pem": ["-t", "rsa", "-m", "PEM"], "pkcs8": ["-t", "ecdsa", "-m", "PKCS8"]}.get(kind, ["-t", kind])
    for key in keys:
        subprocess.run(["ssh-keygen", "-q", *options, "-N", "", "-f", str(key)], check=True)
    ssh_add(context("") / "root")
    shutil.copy(tmp_path / "one.pub", context("") / "root" / "one.pub")
    folder = context(
        BASE
        + "COPY root /\n"
        + run_with("--mount=type=ssh", "/usr/bin/ssh-add -l; /usr/bin/ssh-add -T /one.pub && echo signed")
    )
    events: list[BuildEvent] = []
    ssh = {"default": SshSource(tuple(keys))}
    await soon(build(engine.address, folder, ssh=ssh, events=events, no_cache=True))
    lines = output_of(events).splitlines()
    assert len([line for line in lines if "SHA256:" in line]) == 2, lines
    assert "signed" in lines, lines


async def test_a_raw_socket(engine: Engine, context: Context, agent: Path) -> None:
    """Passed on as it is: here an agent may do all that it can."""
    ssh_add(context("") / "root")
    folder = context(BASE + "COPY root /\n" + run_with("--mount=type=ssh", "/usr/bin/ssh-add -D; /usr/bin/ssh-add -l"))
    events: list[BuildEvent] = []
    ssh = {"default": SshSource((agent,), raw=True)}
    with pytest.raises(StepFailed):
        await soon(build(engine.address, folder, ssh=ssh, events=events, no_cache=True))
    assert "The agent has no identities." in output_of(events)


async def test_keys_that_cannot_be_used(engine: Engine, context: Context, tmp_path: Path) -> None:
    """A passphrase, a file that is not there, a key beside a socket: said before the build."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "phrase", "-f", str(key)], check=True)
    for paths, cause in (((key,), "has a passphrase"), ((tmp_path / "none",), "cannot be read")):
        with pytest.raises(InvalidOption, match=cause):
            await build(engine.address, context(BASE), ssh={"default": SshSource(paths)})


async def test_an_agent_that_was_not_given(engine: Engine, context: Context) -> None:
    """A step that requires an agent says so when there is none."""
    folder = context(BASE + run_with("--mount=type=ssh,required=true", "true"))
    with pytest.raises(BuildSecretMissing, match="'default'"):
        await build(engine.address, folder, no_cache=True)


async def test_what_is_no_agent(engine: Engine, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable and a file that is no socket are refused before the build."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    folder = context(BASE)
    with pytest.raises(InvalidOption, match="SSH_AUTH_SOCK is not set"):
        await build(engine.address, folder, ssh={"default": SshSource()})
    with pytest.raises(InvalidOption, match="neither the socket of an SSH agent nor a private key"):
        await build(engine.address, folder, ssh={"default": SshSource((folder / "Dockerfile",))})
