"""Waivers: findings of gates that somebody lets pass until a day."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date, datetime, timedelta
from typing import Any

from prefect_slipway.infra.domain.errors import WaiverInvalid
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.signing.gate_result import Waiver

ANY = "*"
"""A waiver of this finding lets any failure of its gate pass."""

SOON = timedelta(days=7)
_NAMES = [field.name for field in fields(Waiver)]
_LIMIT = 1 << 20


def read_waivers(name: str, text: str) -> tuple[Waiver, ...]:
    """From TOML, `[[waiver]]` each. `name`: of the file, for errors. Raises WaiverInvalid."""
    if len(text) > _LIMIT:
        raise WaiverInvalid(f"{name} is longer than {_LIMIT} characters")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise WaiverInvalid(f"{name} is not TOML: {error}") from None
    entries = document.pop("waiver", [])
    if document or not isinstance(entries, list):
        raise WaiverInvalid(f"{name} has {', '.join(map(repr, document)) or 'something'} besides [[waiver]]")
    return tuple(_waiver(entry, f"{name}: waiver {number}") for number, entry in enumerate(entries, 1))


def find_waiver(waivers: Sequence[Waiver], gate: str, finding: str, today: date) -> Waiver | None:
    """The waiver in force of a finding; one that names it wins over one of all."""
    there = [each for each in waivers if each.gate == gate and _counts(each, today)]
    return next((each for wanted in (finding, ANY) for each in there if each.finding == wanted), None)


def about_waivers(waivers: Sequence[Waiver], gates: Sequence[str], today: date) -> Iterator[str]:
    """Warnings about those of these gates that end within a week or have ended, and that are of no gate."""
    for each in waivers:
        what = f"the waiver of {each.finding} for the gate {each.gate} (by {each.by})"
        if each.gate not in gates:
            yield f"{what} is of a gate that this release does not have"
        elif not _counts(each, today):
            yield f"{what} ended on {each.until}: it no longer counts"
        elif date.fromisoformat(each.until) - today <= SOON:
            yield f"{what} ends on {each.until}"


def _counts(waiver: Waiver, today: date) -> bool:
    return today <= date.fromisoformat(waiver.until)


def _waiver(entry: Any, where: str) -> Waiver:
    if not isinstance(entry, dict):
        raise WaiverInvalid(f"{where} is not a table")
    if wrong := sorted(set(_NAMES) ^ set(entry)):
        verb = "lacks" if wrong[0] in _NAMES else "has the unknown field"
        raise WaiverInvalid(f"{where} {verb} {wrong[0]!r}")
    until = entry["until"]
    if isinstance(until, str):
        try:
            until = date.fromisoformat(until)
        except ValueError:
            raise WaiverInvalid(f"{where}: until is not a date", action="write it as 2026-12-31") from None
    if not isinstance(until, date) or isinstance(until, datetime):
        raise WaiverInvalid(f"{where}: until is not a date", action="write it as 2026-12-31")
    texts = {name: entry[name] for name in _NAMES if name != "until"}
    for name, value in texts.items():
        if not isinstance(value, str) or not value.strip():
            raise WaiverInvalid(f"{where}: {name} is not a text")
    return Waiver(**{name: one_line(value) for name, value in texts.items()}, until=until.isoformat())
