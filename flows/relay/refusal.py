"""A rejected delivery, and the HTTP status of the answer."""

from __future__ import annotations


class Refused(Exception):
    """`reason`: for the log and the answer; never contains a part of the delivery."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def unsigned(header: str) -> Refused:
    return Refused(401, f"not signed: the header {header} is missing")


def wrongly_signed() -> Refused:
    return Refused(403, "the signature does not match")


def malformed(reason: str) -> Refused:
    return Refused(400, reason)
