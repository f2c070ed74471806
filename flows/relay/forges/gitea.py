"""Gitea and Forgejo: the signature is the body's HMAC in plain hexadecimal, the payload is much like GitHub's.

Source: docs.gitea.com and forgejo.org/docs, "Webhooks". Forgejo sends each header under Gitea's name as well, older
ones under that alone. Of the pushed commits only the first few are sent (Gitea's FEED_MAX_COMMIT_NUM, 5), but all are
counted in `total_commits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect_slipway.flows.relay.forges import payload
from prefect_slipway.flows.relay.forges.forge import Headers, check_secret, delivery_id, hex_signatures
from prefect_slipway.flows.relay.forges.github import push_like_github
from prefect_slipway.flows.relay.push import Push
from prefect_slipway.flows.relay.refusal import unsigned


class Gitea:
    """`name`: of the forge in events. `prefixes`: of the header names, the first that is there counts."""

    def __init__(self, name: str, *prefixes: str) -> None:
        self._name = name
        self._prefixes = prefixes

    def check_signed(self, headers: Headers) -> None:
        self._signature(headers)

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> None:
        check_secret(self._signature(headers), hex_signatures(secrets, body))

    def delivery(self, headers: Headers, body: bytes) -> str:
        return delivery_id(headers, *(f"{prefix}-Delivery" for prefix in self._prefixes))

    def is_push(self, headers: Headers) -> bool:
        return any(headers.get(f"{prefix}-Event") == "push" for prefix in self._prefixes)

    def push(self, document: dict[str, Any], delivery: str) -> Push:
        return push_like_github(self._name, document, delivery, total=payload.number(document, "total_commits"))

    def _signature(self, headers: Headers) -> str:
        for prefix in self._prefixes:
            # Without a secret the header is sent empty.
            if signature := headers.get(f"{prefix}-Signature"):
                return signature
        raise unsigned(f"{self._prefixes[0]}-Signature")
