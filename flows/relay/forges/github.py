"""GitHub: `X-Hub-Signature-256`, and a push event's payload.

Source: docs.github.com, "Validating webhook deliveries", "Webhook events and payloads" (push: at most 2048 commits).
A delivery that failed is not sent again by itself; one that is redelivered by hand or API keeps its
`X-GitHub-Delivery`. That id is not signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect_slipway.flows.relay.forges import payload
from prefect_slipway.flows.relay.forges.forge import Headers, check_secret, delivery_id, hex_signatures
from prefect_slipway.flows.relay.push import Push
from prefect_slipway.flows.relay.refusal import unsigned

_SIGNATURE = "X-Hub-Signature-256"
_MOST_COMMITS = 2048


class GitHub:
    def check_signed(self, headers: Headers) -> None:
        if not headers.get(_SIGNATURE):
            raise unsigned(_SIGNATURE)

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> None:
        check_secret(headers[_SIGNATURE], [b"sha256=" + signature for signature in hex_signatures(secrets, body)])

    def delivery(self, headers: Headers, body: bytes) -> str:
        return delivery_id(headers, "X-GitHub-Delivery")

    def is_push(self, headers: Headers) -> bool:
        return headers.get("X-GitHub-Event") == "push"

    def push(self, document: dict[str, Any], delivery: str) -> Push:
        return push_like_github("github", document, delivery, most=_MOST_COMMITS)


def push_like_github(
    forge: str, document: dict[str, Any], delivery: str, *, total: int | None = None, most: int | None = None
) -> Push:
    """The payload that GitHub, Gitea and Forgejo share. `total`, `most`: as `changed_paths` has them."""
    before = payload.commit(document, "before")
    # The commits since `before` say what changed only where the new ones follow on it.
    follows = before is not None and not document.get("forced")
    return Push(
        forge=forge,
        delivery=delivery,
        repository=payload.repository(document, "repository", "full_name"),
        ref=payload.ref(document),
        before=before,
        commit=payload.commit_of_tag(document, payload.commit(document, "after"), "head_commit", "id"),
        web_url=payload.url(document, "repository", "html_url"),
        clone_url=payload.url(document, "repository", "clone_url"),
        ssh_url=payload.url(document, "repository", "ssh_url"),
        pusher=payload.text(document, "pusher", "name") or payload.text(document, "pusher", "login"),
        paths=payload.changed_paths(document, total=total, most=most) if follows else None,
        skipped=payload.skipped(document, payload.commit(document, "after")),
    )
