"""A reservation as all machines see it: in a git commit's message or a registry's manifest."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from prefect_slipway.infra.common.processes import Owner, this_process
from prefect_slipway.infra.domain.ledger import Claim
from prefect_slipway.infra.domain.version import Version

TTL_S = 900
"""Seconds after which a reservation of another machine that nobody kept counts as left behind."""

_HEADLINE = "A release is under way (Slipway)."


@dataclass(frozen=True, slots=True)
class Note:
    """A reservation's text. `expires`: seconds since the epoch, by the clock that its readers go by."""

    version: Version
    claim: Claim
    owner: Owner
    expires: float

    @classmethod
    def now(cls, version: Version, claim: Claim, ttl_s: float, now: float | None = None) -> Self:
        """This process's claim, good for `ttl_s` seconds. `now`: None for this machine's clock."""
        return cls(version, claim, this_process(), (time.time() if now is None else now) + ttl_s)

    @classmethod
    def of(cls, values: Any) -> Self | None:
        """From `values` as JSON gave them; None for what is not a claim."""
        try:
            digest, expires = values["digest"], float(values["expires"])
            claim = Claim(_text(values["run"]), _text(values["fingerprint"]), None if digest is None else _text(digest))
            owner = Owner(_text(values["host"]), int(values["pid"]), int(values["started"]))
            version = Version.parse(_text(values["version"]))
        except (ValueError, KeyError, TypeError, OverflowError):
            return None
        return cls(version, claim, owner, expires) if math.isfinite(expires) else None

    @classmethod
    def read(cls, message: str) -> Self | None:
        """From a commit's message; None for one that is not a claim."""
        try:
            return cls.of(json.loads(message.partition("\n\n")[2]))
        except (ValueError, RecursionError):
            return None

    @property
    def values(self) -> Mapping[str, Any]:
        return {
            "version": str(self.version),
            **asdict(self.claim),
            **asdict(self.owner),
            "expires": self.expires,
        }

    @property
    def message(self) -> str:
        return f"{_HEADLINE}\n\n{json.dumps(self.values, indent=1)}\n"

    def is_expired(self, now: float | None = None) -> bool:
        return (time.time() if now is None else now) > self.expires


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
