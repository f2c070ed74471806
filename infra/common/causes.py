"""Tables that map messages of servers, programs and libraries to named errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from prefect_slipway.infra.domain.errors import SlipwayError

S = TypeVar("S")
E = TypeVar("E", bound=SlipwayError)


@dataclass(frozen=True, slots=True)
class Cause(Generic[S, E]):
    """Where `sign` is found (a pattern, a range of statuses, a library's class), the error is `kind`, in the words of
    `what`. `action`: what to do next, None for what the kind says."""

    sign: S
    kind: type[E]
    what: str
    action: str | None = None


def first(table: Iterable[Cause[S, E]], fits: Callable[[S], object]) -> Cause[S, E] | None:
    """The first row whose sign fits: specific rows come before general ones."""
    return next((cause for cause in table if fits(cause.sign)), None)
