"""Signatures by the forges' own test vectors, and what is not one."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.flows.relay.forges import FORGES, standard
from prefect_slipway.flows.relay.refusal import Refused
from prefect_slipway.infra.domain.errors import InvalidOption

# docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

# The libraries' tests in github.com/standard-webhooks/standard-webhooks.
STANDARD_SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_AT = 1614265330
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(STANDARD_AT),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def refused(forge: str, headers: dict[str, str], body: bytes, *secrets: bytes, now: float = STANDARD_AT) -> int | None:
    """The status that the forge's checks end with, None if they take the delivery."""
    try:
        FORGES[forge].check_signed(headers)
        FORGES[forge].verify(headers, body, secrets, now)
    except Refused as error:
        return error.status
    return None


def test_githubs_own_vector() -> None:
    """What GitHub documents as the right signature is taken, with any of several secrets."""
    headers = {"X-Hub-Signature-256": f"sha256={SIGNATURE}"}
    assert refused("github", headers, BODY, SECRET) is None
    assert refused("github", headers, BODY, b"another secret", SECRET) is None
    assert refused("github", headers, BODY, b"another secret") == 403
    assert refused("github", headers, BODY + b"\n", SECRET) == 403
    assert refused("github", headers, BODY) == 403


@pytest.mark.parametrize(
    "signature",
    [
        SIGNATURE,
        f"sha1={SIGNATURE}",
        f"sha256={SIGNATURE.upper()}",
        f"sha256={SIGNATURE[:-1]}",
        f"sha256= {SIGNATURE}",
        "sha256=",
        "sha256=\udce9",
    ],
)
def test_no_signature_of_another_form(signature: str) -> None:
    """Another algorithm's name, another case, cut off, bytes that are no text: refused, whatever else is right."""
    assert refused("github", {"X-Hub-Signature-256": signature}, BODY, SECRET) == 403


def test_the_older_header_is_no_signature() -> None:
    """`X-Hub-Signature` is SHA-1, which GitHub sends for old receivers alone."""
    old = hmac.new(SECRET, BODY, hashlib.sha1).hexdigest()
    assert refused("github", {"X-Hub-Signature": f"sha1={old}"}, BODY, SECRET) == 401


@pytest.mark.parametrize(
    ("forge", "header"),
    [("gitea", "X-Gitea-Signature"), ("forgejo", "X-Forgejo-Signature"), ("forgejo", "X-Gitea-Signature")],
)
def test_gitea_and_forgejo(forge: str, header: str) -> None:
    """The same HMAC in plain hexadecimal; empty where the webhook has no secret."""
    assert refused(forge, {header: SIGNATURE}, BODY, SECRET) is None
    assert refused(forge, {header: f"sha256={SIGNATURE}"}, BODY, SECRET) == 403
    assert refused(forge, {header: ""}, BODY, SECRET) == 401
    assert refused(forge, {}, BODY, SECRET) == 401


def test_forgejos_own_header_goes_first() -> None:
    """A wrong one is not rescued by a right one under the other name; Gitea's sources know no Forgejo header."""
    headers = {"X-Forgejo-Signature": "0" * 64, "X-Gitea-Signature": SIGNATURE}
    assert refused("forgejo", headers, BODY, SECRET) == 403
    assert refused("gitea", {"X-Forgejo-Signature": SIGNATURE}, BODY, SECRET) == 401


def test_standard_webhooks_own_vector() -> None:
    """The generic form and GitLab's signing token are signed as the specification's libraries sign."""
    for forge in ("generic", "gitlab"):
        assert refused(forge, STANDARD, STANDARD_BODY, STANDARD_SECRET) is None
        assert refused(forge, STANDARD, STANDARD_BODY + b" ", STANDARD_SECRET) == 403
        both = {**STANDARD, "webhook-signature": f"v1,bm9wZQ== {STANDARD['webhook-signature']}"}
        assert refused(forge, both, STANDARD_BODY, STANDARD_SECRET) is None


@pytest.mark.parametrize("change", ["webhook-id", "webhook-timestamp"])
def test_id_and_time_are_signed(change: str) -> None:
    """Neither can be exchanged, unlike in a forge's delivery."""
    headers = {**STANDARD, change: STANDARD[change][:-1] + "0" if change == "webhook-id" else str(STANDARD_AT + 1)}
    assert refused("generic", headers, STANDARD_BODY, STANDARD_SECRET) == 403
    del headers[change]
    assert refused("generic", headers, STANDARD_BODY, STANDARD_SECRET) == 401


@pytest.mark.parametrize(("age_s", "status"), [(0, None), (300, None), (301, 403), (-300, None), (-301, 403)])
def test_time_is_limited_in_both_directions(age_s: int, status: int | None) -> None:
    """Five minutes too old or too early is too much."""
    assert refused("generic", STANDARD, STANDARD_BODY, STANDARD_SECRET, now=STANDARD_AT + age_s) == status


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1.5", "٣", "9" * 16, " 1614265330"])
def test_a_time_that_is_none(timestamp: str) -> None:
    """It is refused before anything is computed with it."""
    assert refused("generic", {**STANDARD, "webhook-timestamp": timestamp}, STANDARD_BODY, STANDARD_SECRET) in {
        400,
        401,
    }


def test_gitlabs_token_is_not_enough_beside_a_signing_token() -> None:
    """A source with a signing token takes signatures alone; one with both kinds (being changed) takes either."""
    token = {"X-Gitlab-Token": "a plain old token"}
    assert refused("gitlab", token, b"{}", b"a plain old token") is None
    assert refused("gitlab", token, b"{}", b"a plain old tokem") == 403
    assert refused("gitlab", token, b"{}", STANDARD_SECRET) == 401
    assert refused("gitlab", {"X-Gitlab-Token": STANDARD_SECRET.decode()}, b"{}", STANDARD_SECRET) == 401
    assert refused("gitlab", token, b"{}", STANDARD_SECRET, b"a plain old token") is None
    assert refused("gitlab", STANDARD, STANDARD_BODY, STANDARD_SECRET, b"a plain old token") is None
    assert refused("gitlab", {}, b"{}", b"a plain old token") == 401


def test_a_signing_token_that_is_none() -> None:
    """`whsec_` without base64 behind it is a mistake that is named, and nothing can be signed with it."""
    with pytest.raises(InvalidOption):
        standard.key_of(b"whsec_not base64")


@given(key=st.binary(min_size=1, max_size=64), body=st.binary(max_size=200))
def test_a_key_is_the_same_with_and_without_its_wrapping(key: bytes, body: bytes) -> None:
    """`whsec_BASE64` signs as the key itself does."""
    wrapped = b"whsec_" + base64.b64encode(key)
    if not key.startswith(b"whsec_"):
        assert standard.sign(wrapped, body) == standard.sign(key, body)


@given(secret=st.binary(min_size=1, max_size=64), body=st.binary(max_size=200), other=st.binary(max_size=200))
def test_only_the_signed_body_is_taken(secret: bytes, body: bytes, other: bytes) -> None:
    """Whatever the bytes are."""
    headers = {"X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()}
    assert refused("github", headers, body, secret) is None
    assert (refused("github", headers, other, secret) is None) == (body == other)


@pytest.mark.parametrize("identity", ["", "a b", "x" * 129, "id\n2026 ERROR forged", "é"])
def test_an_id_that_is_none(identity: str) -> None:
    """A delivery's id goes into the log: it can hold nothing that would forge a line."""
    for forge, header in (
        ("github", "X-GitHub-Delivery"),
        ("gitlab", "Idempotency-Key"),
        ("gitea", "X-Gitea-Delivery"),
    ):
        with pytest.raises(Refused) as refusal:
            FORGES[forge].delivery({header: identity}, b"")
        assert refusal.value.status == 400
        assert identity == "" or identity not in refusal.value.reason


def test_an_old_gitlab_names_no_delivery() -> None:
    """Then the body is its name."""
    name = FORGES["gitlab"].delivery({}, b"{}")
    assert name == FORGES["gitlab"].delivery({}, b"{}")
    assert name != FORGES["gitlab"].delivery({}, b"{ }")
