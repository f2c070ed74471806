"""Proxies on this machine: a small one for HTTP, and a real sshd as a SOCKS proxy."""

from __future__ import annotations

import getpass
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.ports import free_port
from tests.serving import pass_on, serving
from tests.ssh_server import serve_ssh
from tests.waiting import wait_until

THIS_MACHINE = "0.0.0.0"
"""A host by which its servers are reached, and to which no client goes past its proxy, as to a loopback address."""


class HttpProxy(socketserver.ThreadingTCPServer):
    """Passes on what it is asked, tunnels and plain requests (RFC 9110, section 9.3.6; RFC 9112, section 3.2.2).

    `asked`: the hosts and ports.
    """

    daemon_threads = True

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"


class _Handler(socketserver.StreamRequestHandler):
    server: HttpProxy
    rbufsize = 0  # what follows the first lines is passed on as it comes

    def handle(self) -> None:
        first = self.rfile.readline()
        if not first:
            return
        method, target, _ = first.decode().split()
        where = target if method == "CONNECT" else urlsplit(target).netloc
        self.server.asked.append(where)
        host, _, port = where.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            if method == "CONNECT":
                while self.rfile.readline().strip():
                    """The rest of the request's head."""
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                upstream.sendall(first)
            answers = threading.Thread(target=pass_on, args=(upstream, self.connection))
            answers.start()
            pass_on(self.connection, upstream)
            answers.join()


@contextmanager
def http_proxy(host: str = "127.0.0.1") -> Iterator[HttpProxy]:
    with HttpProxy(host) as proxy, serving(proxy):
        yield proxy


@contextmanager
def socks_proxy(folder: Path) -> Iterator[str]:
    """`ssh -D`: its URL. Its files are in `folder`."""
    port = free_port()
    with serve_ssh(folder) as server:
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(server.known_hosts)
        options = ("-o", f"UserKnownHostsFile={known_hosts}", "-o", "ExitOnForwardFailure=yes", "-F", "/dev/null")
        login = ("-i", folder / "user", "-p", str(server.port), f"{getpass.getuser()}@127.0.0.1")
        with subprocess.Popen(["ssh", "-N", *options, "-D", f"127.0.0.1:{port}", *login]) as client:
            try:
                wait_until(lambda: _listens(port))
                yield f"socks5://127.0.0.1:{port}"
            finally:
                client.terminate()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
