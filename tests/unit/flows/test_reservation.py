"""A reservation is kept alive while its release lasts."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from prefect_slipway.flows.run.reservation import ReservedVersion, kept_alive
from prefect_slipway.infra.domain.errors import SourceUnreachable
from prefect_slipway.infra.domain.ledger import Claim, Reservation
from prefect_slipway.infra.domain.version import Version
from tests.waiting import soon


class _Ledger:
    """Told of what is kept; the first time it is out of reach."""

    def __init__(self) -> None:
        self.kept: list[Reservation] = []
        self.thrice = asyncio.Event()

    async def keep(self, reservation: Reservation) -> None:
        self.kept.append(reservation)
        if len(self.kept) == 1:
            raise SourceUnreachable("git.example does not answer")
        if len(self.kept) == 3:
            self.thrice.set()


async def test_a_reservation_is_kept_until_the_release_ends() -> None:
    """Again and again, also after the place was out of reach for once."""
    ledger, reservation = _Ledger(), Reservation(Version.parse("1.0.0"), Claim("run", "source"))
    async with kept_alive(ReservedVersion(cast(Any, ledger), reservation), every_s=0.001):
        await soon(ledger.thrice.wait())
    count = len(ledger.kept)
    await asyncio.sleep(0.01)
    assert len(ledger.kept) == count
    assert set(ledger.kept) == {reservation}
