"""Any other sender, in Slipway's own form: a Standard Webhooks signature over a flat payload.

::

    {"repository": "team/app", "ref": "refs/heads/main", "after": "<commit>",
     "before": "<commit>", "clone_url": "https://…", "ssh_url": "…", "web_url": "…", "pusher": "…", "paths": ["…"]}

The first line is needed; `after` is all zeros for a deleted ref. Without `paths` any path may have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect_slipway.flows.relay.forges import payload, standard
from prefect_slipway.flows.relay.forges.forge import Headers, delivery_id
from prefect_slipway.flows.relay.push import Push
from prefect_slipway.flows.relay.refusal import malformed

_FIELDS = {"repository", "ref", "after", "before", "clone_url", "ssh_url", "web_url", "pusher", "paths"}


class Generic:
    def check_signed(self, headers: Headers) -> None:
        standard.check_signed(headers)

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[bytes], now: float) -> None:
        standard.verify(headers, body, secrets, now)

    def delivery(self, headers: Headers, body: bytes) -> str:
        return delivery_id(headers, standard.ID)

    def is_push(self, headers: Headers) -> bool:
        return True

    def push(self, document: dict[str, Any], delivery: str) -> Push:
        if not document.keys() <= _FIELDS:
            raise malformed(f"the only known fields are {', '.join(sorted(_FIELDS))}")
        paths = payload.paths(document, "paths")
        return Push(
            forge="generic",
            delivery=delivery,
            repository=payload.repository(document, "repository"),
            ref=payload.ref(document),
            before=payload.commit(document, "before") if "before" in document else None,
            commit=payload.commit(document, "after"),
            web_url=payload.url(document, "web_url"),
            clone_url=payload.url(document, "clone_url"),
            ssh_url=payload.url(document, "ssh_url"),
            pusher=payload.text(document, "pusher"),
            paths=tuple(paths) if paths is not None else None,
        )
