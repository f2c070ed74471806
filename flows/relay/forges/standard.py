"""Standard Webhooks signatures, which GitLab's signing tokens and the generic form use.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md. `webhook-id`, `webhook-timestamp`
(seconds since the epoch) and `webhook-signature`: one or several of `v1,BASE64` with a space between, each the
HMAC-SHA256 of `ID.TIMESTAMP.BODY`. The secret is `whsec_` and the key in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from prefect_slipway.flows.relay.forges.forge import Headers, delivery_id
from prefect_slipway.flows.relay.refusal import Refused, malformed, unsigned, wrongly_signed
from prefect_slipway.infra.domain.errors import InvalidOption

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = b"whsec_"

TOLERANCE_S = 300
"""How far the signed time may be from ours; the specification's libraries allow as much."""

# A sender that changes its secret signs with two of them for a while; nobody needs more than a few.
_MOST_SIGNATURES = 8


def check_signed(headers: Headers) -> None:
    """Check that all three headers exist. Raises Refused."""
    for name in (SIGNATURE, ID, TIMESTAMP):
        if not headers.get(name):
            raise unsigned(name)


def verify(headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> None:
    """Raises Refused: malformed headers, a wrong signature, or a right one that is too old or too early."""
    identity = delivery_id(headers, ID)
    timestamp = headers[TIMESTAMP]
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 15:
        raise malformed(f"the header {TIMESTAMP} is not a number of seconds")
    signed = f"{identity}.{timestamp}.".encode() + body
    expected = [sign(secret, signed) for secret in secrets]
    given = headers[SIGNATURE].encode(errors="surrogateescape").split(b" ")[:_MOST_SIGNATURES]
    found = [hmac.compare_digest(signature, other) for signature in given for other in expected]
    if not any(found):
        raise wrongly_signed()
    if abs(now - int(timestamp)) > TOLERANCE_S:
        raise Refused(403, f"signed more than {TOLERANCE_S} s before or after this machine's time")


def sign(secret: bytes, signed: bytes) -> bytes:
    """The signature of `ID.TIMESTAMP.BODY`. Raises InvalidOption for a `whsec_` secret that is none."""
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return b"v1," + base64.b64encode(digest)


def key_of(secret: bytes) -> bytes:
    """The key behind a secret; without the prefix it is the key as it is. Raises InvalidOption."""
    if not secret.startswith(PREFIX):
        return secret
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise InvalidOption("a webhook secret starts with whsec_, but is not base64") from None
