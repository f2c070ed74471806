"""An engine whose steps have a network, as an SBOM's scanner wants one, without a trace in this machine's own network.

It lives in a network namespace of its own, so its bridge does as well; a registry on this machine's loopback is
brought to the loopback there by a socket that was opened there.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from prefect_slipway.infra.local.daemon import Daemon
from prefect_slipway.infra.local.engine import engine_address, engine_daemon
from tests.servers import running

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


@contextmanager
def bridged_engine(home: Path) -> Iterator[tuple[str, Daemon]]:
    """Its address, and its process to go into its network by. Needs root."""
    spec = engine_daemon(home)
    bridged = (part for part in spec.argv if part != "--bridge=none")
    with running(replace(spec, argv=("unshare", "--net", *bridged)), home) as daemon:
        yield engine_address(home), daemon


def listening_there(daemon: Daemon, port: int) -> socket.socket:
    """A socket that listens on 127.0.0.1 in the daemon's network; what connects to it there arrives here."""
    process = daemon.process()
    assert process is not None, "the engine runs"

    def there() -> socket.socket:
        # setns(2) moves this thread alone, and a socket stays where it was made.
        with Path(f"/proc/{process.pid}/ns/net").open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
        return socket.create_server(("127.0.0.1", port))

    with ThreadPoolExecutor(1) as moved:
        return moved.submit(there).result()


def may_make_namespaces() -> bool:
    return os.geteuid() == 0
