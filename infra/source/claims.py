"""A reservation as it is written into git."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Self

from flows.domain.ledger import Claim
from flows.domain.version import Version
from infra.source.processes import Owner, this_process

_HEADLINE = "A release is under way (Slipway)."


@dataclass(frozen=True, slots=True)
class Note:
    """A reservation's text. `expires`: seconds since the epoch."""

    version: Version
    claim: Claim
    owner: Owner
    expires: float

    @classmethod
    def now(cls, version: Version, claim: Claim, ttl_s: float) -> Self:
        """This process's claim, good for `ttl_s` seconds."""
        return cls(version, claim, this_process(), time.time() + ttl_s)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for a text that is no claim."""
        try:
            values = json.loads(text.partition("\n\n")[2])
            claim = Claim(values["run"], values["fingerprint"], values["digest"])
            owner = Owner(values["host"], int(values["pid"]), int(values["started"]))
            return cls(Version.parse(values["version"]), claim, owner, float(values["expires"]))
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def text(self) -> str:
        values = {"version": str(self.version), **asdict(self.claim), **asdict(self.owner)}
        return f"{_HEADLINE}\n\n{json.dumps({**values, 'expires': self.expires}, indent=1)}\n"

    def is_expired(self) -> bool:
        return time.time() > self.expires
