"""HTTP requests of tests to servers that they started: httpx gives up after 5 s, a busy machine does not."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import httpx

from tests.waiting import PATIENCE_S

_TRIES = 20
# What a Prefect server answers while its SQLite file is locked: nothing was done.
_LOCKED = "Service Unavailable"
# Read once: httpx would read all the CAs there are for each request, which costs more than the request.
_TLS = httpx.create_ssl_context(trust_env=False)


def request(method: str, url: str, **options: Any) -> httpx.Response:
    """As httpx.request."""
    for _ in range(_TRIES):
        answer = httpx.request(method, url, **{"timeout": PATIENCE_S, "trust_env": False, "verify": _TLS, **options})
        if answer.status_code != 503 or _LOCKED not in answer.text:
            break
        time.sleep(1.0)
    return answer


get = partial(request, "GET")
head = partial(request, "HEAD")
patch = partial(request, "PATCH")
post = partial(request, "POST")
