"""Constraints of versions, for the function `semvercmp` (constraints.go in Masterminds/semver)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from semver import Version

_VERSION = r"v?([0-9]+|[xX*])(\.(?:[0-9]+|[xX*]))?(\.(?:[0-9]+|[xX*]))?(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_CONSTRAINT = re.compile(rf"\s*(!=|>=|=>|<=|=<|~>|=|>|<|~|\^|)\s*{_VERSION}\s*,?")
_RANGE = re.compile(rf"({_VERSION})\s+-\s+({_VERSION})")
_ANY = {"", "x", "X", "*"}
_LONGEST = 500


def satisfies(version: str, constraint: str) -> bool:
    """Whether one of the alternatives (`||`) holds, each several constraints divided by commas or blanks; a prerelease
    only where one of them names a prerelease. Raises ValueError."""
    if max(len(version), len(constraint)) > _LONGEST:
        raise ValueError(constraint)
    found = _parsed(version.removeprefix("v"))
    alternatives = [_constraints(text) for text in constraint.split("||")]
    return any(
        all(each.holds(found) for each in together)
        for together in alternatives
        if not found.prerelease or any(each.version.prerelease for each in together)
    )


def _parsed(text: str) -> Version:
    # Imported late, as few files need it.
    from semver import Version

    return Version.parse(text, optional_minor_and_patch=True)


def _constraints(text: str) -> list[_Constraint]:
    rewritten = _RANGE.sub(r">=\1 <=\6", text).strip()
    found: list[_Constraint] = []
    at = 0
    while at < len(rewritten) or not found:
        if (match := _CONSTRAINT.match(rewritten, at)) is None:
            raise ValueError(text)
        sign, *parts, prerelease = match.groups()
        numbers = [(part or "").removeprefix(".") for part in parts]
        given = next((number for number, part in enumerate(numbers) if part in _ANY), 3)
        version = ".".join([*numbers[:given], *["0"] * (3 - given)]) + (prerelease or "")
        found.append(_Constraint(sign, _parsed(version), given))
        at = match.end()
    return found


class _Constraint(NamedTuple):
    """`given`: how many of the version's numbers the constraint names."""

    sign: str
    version: Version
    given: int

    def holds(self, version: Version) -> bool:
        order = version.compare(self.version)
        # Where no number is named, zeros are.
        whole = self.given in {0, 3}
        own, named = (each.to_tuple()[: self.given or 3] for each in (version, self.version))
        match self.sign:
            case "" | "=" if self.given < 3:
                return self._near(version)
            case "" | "=":
                return order == 0
            case "!=":
                other = self.given == 2 and version.prerelease != self.version.prerelease
                return order != 0 if whole else own != named or other
            case ">":
                return order > 0 if whole else own > named
            case "<":
                return order < 0
            case ">=" | "=>":
                return order >= 0
            case "<=" | "=<":
                return order <= 0 if self.given == 3 else own[: self.given or 2] <= named[: self.given or 2]
            case "~" | "~>":
                return self._near(version)
        # `^`: the first number that is not zero stays, or else the last one.
        fixed = next((at for at, number in enumerate(named, 1) if number), len(named))
        return order >= 0 and own[:fixed] == named[:fixed]

    def _near(self, version: Version) -> bool:
        """Same major version, and same minor one if it is named; after 0.0.0 all are near."""
        fixed = min(self.given, 2)
        same = version.to_tuple()[:fixed] == self.version.to_tuple()[:fixed]
        return version >= self.version and (same or (self.given == 3 and not any(self.version.to_tuple()[:3])))
