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
        """Refuse what carries no signature, before its body is read."""
        ...

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> None:
        """Refuse what none of `secrets` signed, or (where the time is signed too) long before or after `now`.

        `now`: seconds since the epoch.
        """
        ...

    def delivery(self, headers: Headers, body: bytes) -> str:
        """The forge's name for the message: the same when it is sent again."""
        ...

    def is_push(self, headers: Headers) -> bool:
        """Whether it tells of a push; all else is none of the relay's business."""
        ...

    def push(self, document: dict[str, Any], delivery: str) -> Push:
        """The push in the payload."""
        ...


def check_secret(given: str, expected: Iterable[bytes]) -> None:
    """Refuse what none of the expected values equals: in constant time, and whichever it is, all are compared."""
    found = [hmac.compare_digest(given.encode(errors="surrogateescape"), one) for one in expected]
    if not any(found):
        raise wrongly_signed()


def hex_signatures(secrets: Sequence[bytes], body: bytes) -> list[bytes]:
    """HMAC-SHA256 of the body in hexadecimal, by each secret."""
    return [hmac.new(secret, body, hashlib.sha256).hexdigest().encode() for secret in secrets]


def delivery_id(headers: Headers, *names: str) -> str:
    """The first of these headers that is there. It is shown in logs, so it may hold no more than an id does."""
    for name in names:
        if name in headers:
            if not _DELIVERY.fullmatch(headers[name]):
                raise malformed(f"the header {name} is not an id")
            return headers[name]
    raise malformed(f"the header {names[0]} is missing")
