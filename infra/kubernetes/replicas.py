"""Which of several daemons builds a source: always the same, as long as it lives, so that its cache is used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def choose_replica(source: str, pods: Iterable[str]) -> str:
    """Rendezvous hashing: of all pods the one with the highest hash of source and pod. When one goes, only its own
    sources move; when one comes, it takes its share and no other source moves. `pods` must not be empty.
    """
    return max(sorted(pods), key=lambda pod: hashlib.sha256(f"{source}\0{pod}".encode()).digest())
