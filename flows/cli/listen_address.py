"""The address that a serving command listens on."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors import InvalidOption


def listen_address(text: str, *, lowest_port: int = 1) -> tuple[str, int]:
    """Host and port of `--listen HOST:PORT`. `lowest_port` 0: also one that the system picks. Raises InvalidOption."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not lowest_port <= int(port) < 65536:
        raise InvalidOption(f"--listen {text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
