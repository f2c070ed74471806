"""Kubernetes resource quantities, as far as sizes need them."""

from __future__ import annotations

import re

from prefect_slipway.infra.domain.errors import InvalidOption

_QUANTITY = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>m|[kMGTPE]|[KMGTPE]i|)")
_DECIMAL = "kMGTPE"
_BINARY = "KMGTPE"


def parse_quantity(text: str) -> float:
    """`512Mi`, `20Gi`, `1.5G`, `250m` as a number. Raises InvalidOption.

    Grammar: apimachinery, pkg/api/resource/quantity.go (without exponents and signs).
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InvalidOption(f"{text!r} is not a Kubernetes quantity", action="write e.g. 512Mi, 20Gi or 500m")
    number, unit = float(match["number"]), match["unit"]
    if unit == "m":
        return number / 1000
    if unit.endswith("i"):
        return number * float(1024 ** (_BINARY.index(unit[0]) + 1))
    return number * float(1000 ** (_DECIMAL.index(unit) + 1)) if unit else number
