"""`python3 -m prefect_slipway.infra.kubernetes.install.wait_for HOST:PORT`: wait until something answers there.

A Service without a ready pod refuses connections, so this waits for readiness; without it a pod would end and be
started again, in ever longer intervals.
"""

from __future__ import annotations

import socket
import sys
import time

_PAUSE_S = 1.0
_TIMEOUT_S = 2.0


def wait_for(host: str, port: int) -> None:
    """Waits forever: the pod's log shows what it waits for."""
    while True:
        try:
            with socket.create_connection((host, port), _TIMEOUT_S):
                return
        except OSError as error:
            print(f"{host}:{port}: {error.strerror or error}", flush=True)  # noqa: T201
            time.sleep(_PAUSE_S)


if __name__ == "__main__":
    name, _, number = sys.argv[1].rpartition(":")
    wait_for(name, int(number))
