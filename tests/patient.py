"""HTTP requests of tests to servers that they started: httpx gives up after 5 s, a busy machine does not."""

from __future__ import annotations

from functools import partial

import httpx

from tests.waiting import PATIENCE_S

get = partial(httpx.get, timeout=PATIENCE_S, trust_env=False)
head = partial(httpx.head, timeout=PATIENCE_S, trust_env=False)
patch = partial(httpx.patch, timeout=PATIENCE_S, trust_env=False)
post = partial(httpx.post, timeout=PATIENCE_S, trust_env=False)
request = partial(httpx.request, timeout=PATIENCE_S, trust_env=False)
