"""A real sshd on a free port: one key may log in, as whoever runs the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.waiting import wait_until


@dataclass(frozen=True)
class SshServer:
    """`key`: the private key that may log in; `known_hosts`: the server's own, as the file has it."""

    port: int
    key: str
    known_hosts: str

    def url(self, repository: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repository}"


def ssh_key(folder: Path, name: str, kind: str = "ed25519") -> Path:
    """A new key pair's private half; the public one is beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", folder / name], check=True)
    return folder / name


@contextmanager
def serve_ssh(folder: Path) -> Iterator[SshServer]:
    """Serves for the time of the block; its files are in `folder`."""
    host, user = ssh_key(folder, "host"), ssh_key(folder, "user")
    port = free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {host}\nPidFile none\nAuthorizedKeysFile {user}.pub\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it drops its privileges
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "openssh-server is installed"
    log = folder / "sshd.log"
    with log.open("wb") as out, subprocess.Popen([program, "-D", "-e", "-f", config], stderr=out) as process:
        try:
            wait_until(lambda: b"Server listening" in log.read_bytes())
            kind, key, _ = Path(f"{host}.pub").read_text().split()
            yield SshServer(port, user.read_text(), f"[127.0.0.1]:{port} {kind} {key}\n")
        finally:
            process.terminate()
