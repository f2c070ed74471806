"""Recently handled deliveries, remembered for a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable


class Remembered:
    """The newest `limit` keys of the last `window_s` seconds, with bounded memory.

    `clock`: seconds, never going backwards.
    """

    def __init__(
        self, *, window_s: float = 3600.0, limit: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window_s = window_s
        self._limit = limit
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, *keys: str) -> None:
        until = self._clock() + self._window_s
        for key in keys:
            self._until[key] = until
            self._until.move_to_end(key)
        while len(self._until) > self._limit:
            self._until.popitem(last=False)

    def has_any(self, *keys: str) -> bool:
        now = self._clock()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        return any(key in self._until for key in keys)

    def __len__(self) -> int:
        return len(self._until)
