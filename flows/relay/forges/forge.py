"""What the relay needs from a forge: check a delivery's signature, and read its push."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from prefect_slipway.flows.relay.push import Push
from prefect_slipway.flows.relay.refusal import malformed, wrongly_signed

Headers = Mapping[str, str]

_DELIVERY = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Forge(Protocol):
    """One kind of sender. Each method raises Refused."""

    def check_signed(self, headers: Headers) -> None:
        """Reject a delivery without a signature before its body is read."""
        ...

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> None:
        """Reject a delivery that none of `secrets` signed, or whose signed time is too far from `now`.

        `now`: seconds since the epoch.
        """
        ...

    def delivery(self, headers: Headers, body: bytes) -> str:
        """The forge's id of the delivery, which stays the same when it is sent again."""
        ...

    def is_push(self, headers: Headers) -> bool:
        """Whether it is a push; the relay ignores everything else."""
        ...

    def push(self, document: dict[str, Any], delivery: str) -> Push:
        """The push in the payload."""
        ...


def check_secret(given: str, expected: Iterable[bytes]) -> None:
    """Reject a value that equals none of the expected ones; compares all of them in constant time."""
    found = [hmac.compare_digest(given.encode(errors="surrogateescape"), candidate) for candidate in expected]
    if not any(found):
        raise wrongly_signed()


def hex_signatures(secrets: Sequence[bytes], body: bytes) -> list[bytes]:
    """HMAC-SHA256 of the body in hexadecimal, by each secret."""
    return [hmac.new(secret, body, hashlib.sha256).hexdigest().encode() for secret in secrets]


def delivery_id(headers: Headers, *names: str) -> str:
    """The first of these headers that exists. It is shown in logs, so it must look like an id."""
    for name in names:
        if name in headers:
            if not _DELIVERY.fullmatch(headers[name]):
                raise malformed(f"the header {name} is not an id")
            return headers[name]
    raise malformed(f"the header {names[0]} is missing")
