"""GitLab: the secret itself in `X-Gitlab-Token`, or (the newer signing token, `whsec_…`) a Standard Webhooks signature.

Source: docs.gitlab.com, "Webhooks" and "Webhook events" (push: at most 20 commits, counted in `total_commits_count`);
gitlab-org/gitlab!230944 for signing tokens. `Idempotency-Key` stays the same when a delivery is tried again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from prefect_slipway.flows.relay.forges import payload, standard
from prefect_slipway.flows.relay.forges.forge import Headers, check_secret, delivery_id
from prefect_slipway.flows.relay.push import Push
from prefect_slipway.flows.relay.refusal import malformed, unsigned

_TOKEN = "X-Gitlab-Token"  # noqa: S105
_DELIVERY = ("Idempotency-Key", "X-Gitlab-Event-UUID")
_EVENTS = {"Push Hook", "Tag Push Hook"}
_KINDS = {"push", "tag_push"}


class GitLab:
    """If the source's secret is a signing token, a plain token is not accepted."""

    def check_signed(self, headers: Headers) -> None:
        if headers.get(standard.SIGNATURE):
            standard.check_signed(headers)
        elif not headers.get(_TOKEN):
            raise unsigned(_TOKEN)

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> None:
        signing = [secret for secret in secrets if secret.startswith(standard.PREFIX)]
        plain = [secret for secret in secrets if not secret.startswith(standard.PREFIX)]
        if signing and headers.get(standard.SIGNATURE):
            standard.verify(headers, body, signing, now)
        elif not plain:
            raise unsigned(standard.SIGNATURE)
        else:
            check_secret(headers.get(_TOKEN, ""), plain)

    def delivery(self, headers: Headers, body: bytes) -> str:
        if any(name in headers for name in _DELIVERY):
            return delivery_id(headers, *_DELIVERY)
        # Before 14.8 a delivery has no id.
        return f"sha256:{hashlib.sha256(body).hexdigest()[:32]}"

    def is_push(self, headers: Headers) -> bool:
        return headers.get("X-Gitlab-Event") in _EVENTS

    def push(self, document: dict[str, Any], delivery: str) -> Push:
        if payload.text(document, "object_kind") not in _KINDS:
            raise malformed("object_kind is neither push nor tag_push")
        before = payload.commit(document, "before")
        total = payload.number(document, "total_commits_count")
        return Push(
            forge="gitlab",
            delivery=delivery,
            repository=payload.repository(document, "project", "path_with_namespace"),
            ref=payload.ref(document),
            before=before,
            commit=payload.commit_of_tag(document, payload.commit(document, "after"), "checkout_sha"),
            web_url=payload.url(document, "project", "web_url"),
            clone_url=payload.url(document, "project", "git_http_url"),
            ssh_url=payload.url(document, "project", "git_ssh_url"),
            pusher=payload.text(document, "user_username"),
            paths=payload.changed_paths(document, total=total) if before else None,
            skipped=payload.skipped(document, payload.commit(document, "after")),
        )
