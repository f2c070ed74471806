"""Check whether a part on loopback answers."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException


def http_status(port: int, path: str) -> int | None:
    """The status of GET `path` on 127.0.0.1:`port`, None if nobody answers HTTP within two seconds."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
