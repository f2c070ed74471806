"""A source policy: which images, repositories and files a build may use, as BuildKit's own JSON has it, or in Rego.

Format and meaning: sourcepolicy/pb/policy.proto, engine.go, matcher.go and mutate.go (moby/buildkit). The daemon is
the one that applies it; here it is read strictly, and evaluated to tell people what it says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from prefect_slipway.infra.domain.errors.usage import InvalidOption

MOST_BYTES = 256 << 10
"""Of a policy's text: it is a parameter, and Prefect's server takes 512 KiB of all of them."""

_ACTION = 'write BuildKit\'s JSON, e.g. {"rules": [{"action": "DENY", "selector": {"identifier": "docker-image://*"}}]}'
_MOST_CONVERSIONS = 20
_REGO = re.compile(r"^[^\S\n]*package\s", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


@dataclass(frozen=True, slots=True)
class Constraint:
    """An attribute that the source must have."""

    key: str
    value: str
    condition: Literal["EQUAL", "NOTEQUAL", "MATCHES"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`number`: its place among the rules, from 1. `to` and `attrs`: what CONVERT makes of the source; None: as it
    is."""

    number: int
    action: Literal["ALLOW", "DENY", "CONVERT"]
    identifier: str
    match_type: Literal["WILDCARD", "EXACT", "REGEX"]
    constraints: tuple[Constraint, ...] = ()
    to: str | None = None
    attrs: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"rule {self.number}, {self.action} {self.identifier}"


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """`text`: as it was written. `rules`: those of JSON; none of Rego."""

    text: str
    rules: tuple[Rule, ...]

    @classmethod
    def read(cls, what: str, text: str) -> Self:
        """Read a policy's text. `what`: whose it is, in words for people. Raises InvalidOption, also for fields that
        BuildKit does not know: it would pass over them, and with them over what somebody wanted to forbid."""
        if len(text.encode(errors="replace")) > MOST_BYTES:
            raise InvalidOption(f"{what}: larger than {MOST_BYTES >> 10} KiB", action="use wildcards or fewer rules")
        if _REGO.search(text):
            return cls(text, ())
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidOption(f"{what}: not JSON", action=_ACTION) from error
        reader = _Reader(what)
        fields = reader.mapping("the policy", value, "version", "rules")
        if type(version := fields.get("version", 1)) is not int or version not in {0, 1}:
            raise reader.wrong("version", "is not 1")
        rules = reader.sequence("rules", fields.get("rules"))
        if not rules:
            raise reader.wrong("the policy", "has no rules")
        return cls(text, tuple(_rule(reader, number, rule) for number, rule in enumerate(rules, 1)))

    @property
    def is_rego(self) -> bool:
        return not self.rules

    @property
    def digest(self) -> str:
        """Of the text, as `sha256sum` prints it for its file."""
        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"

    def denied_by(self, source: str, *, convert: bool = True) -> Rule | None:
        """The rule that denies a source without attributes, after what other rules make of it (not with `convert`
        False); None if it is allowed, or if that is not known: expressions of Go that Python cannot read,
        attributes."""
        try:
            for _ in range(_MOST_CONVERSIONS):
                source, denied, changed = self._once(source, convert=convert)
                if not changed:
                    return denied
        except re.error:
            pass
        return None

    def _once(self, source: str, *, convert: bool) -> tuple[str, Rule | None, bool]:
        denied = None
        for rule in self.rules:
            match = _match(rule, source)
            if match is None:
                continue
            if rule.constraints:
                raise re.error("constraints need the source's attributes")
            if rule.action == "CONVERT":
                made = _converted(rule, match, source)
                if convert and made != source:
                    return made, None, True
            else:
                denied = rule if rule.action == "DENY" else None
        return source, denied, False


def _match(rule: Rule, source: str) -> re.Match[str] | None:
    if rule.match_type == "REGEX" and rule.identifier != source:
        return re.search(rule.identifier, source)
    pattern = re.escape(rule.identifier)
    if rule.match_type == "WILDCARD":
        pattern = pattern.replace(r"\*", "(.*)")
    return re.fullmatch(pattern, source)


def _converted(rule: Rule, match: re.Match[str], source: str) -> str:
    to = rule.to or rule.identifier
    if rule.match_type == "EXACT":
        return to

    def filled(match: re.Match[str]) -> str:
        named = match.groupdict()

        def value(place: re.Match[str]) -> str:
            name = place[1] or place[2]
            if name.isdecimal():
                return (match[int(name)] or "") if int(name) <= match.re.groups else ""
            return named.get(name) or ""

        return _PLACEHOLDER.sub(value, to)

    return filled(match) if rule.match_type == "WILDCARD" else re.sub(rule.identifier, filled, source)


class _Reader:
    """Reads values of JSON and says what is wrong with them. `what`: whose they are."""

    def __init__(self, what: str) -> None:
        self._what = what

    def wrong(self, place: str, reason: str) -> InvalidOption:
        return InvalidOption(f"{self._what}: {place} {reason}", action=_ACTION)

    def mapping(self, place: str, value: Any, *known: str) -> dict[str, Any]:
        """An object; with `known` it may have only these fields."""
        if not isinstance(value, dict):
            raise self.wrong(place, "is not an object")
        for name in value:
            if known and name not in known:
                raise self.wrong(place, f"has the unknown field {name!r}")
        return value

    def sequence(self, place: str, value: Any) -> list[Any]:
        if value is not None and not isinstance(value, list):
            raise self.wrong(place, "is not a list")
        return value or []

    def text(self, place: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.wrong(place, "is not a text")
        return value

    def one_of(self, place: str, value: Any, *names: str) -> Any:
        """One of the names of an enumeration, which may be given by its number; the first is the default."""
        if type(value) is int and 0 <= value < len(names):
            return names[value]
        if value is not None and value not in names:
            raise self.wrong(place, f"is none of {', '.join(names)}")
        return value or names[0]


def _rule(reader: _Reader, number: int, value: Any) -> Rule:
    place = f"rule {number}"
    fields = reader.mapping(place, value, "action", "selector", "updates")
    action = reader.one_of(f"{place}: action", fields.get("action"), "ALLOW", "DENY", "CONVERT")
    selector = reader.mapping(f"{place}: selector", fields.get("selector"), "identifier", "match_type", "constraints")
    identifier = reader.text(f"{place}: selector.identifier", selector.get("identifier"))
    match_type = reader.one_of(f"{place}: match_type", selector.get("match_type"), "WILDCARD", "EXACT", "REGEX")
    if not identifier:
        raise reader.wrong(place, "has no selector.identifier")
    if match_type == "WILDCARD" and "**" in identifier:
        raise reader.wrong(place, "has two `*` in a row; use one")
    constraints = reader.sequence(f"{place}: constraints", selector.get("constraints"))
    to, attrs = None, {}
    if action == "CONVERT":
        updates = reader.mapping(f"{place}: updates", fields.get("updates"), "identifier", "attrs")
        to = reader.text(f"{place}: updates.identifier", updates.get("identifier", "")) or None
        attrs = reader.mapping(f"{place}: updates.attrs", updates.get("attrs") or {})
        for name, each in attrs.items():
            reader.text(f"{place}: updates.attrs.{name}", each)
    elif fields.get("updates") is not None:
        raise reader.wrong(place, f"has updates, which {action} does not use")
    return Rule(
        number,
        action,
        identifier,
        match_type,
        tuple(_constraint(reader, place, each) for each in constraints),
        to,
        attrs,
    )


def _constraint(reader: _Reader, place: str, value: Any) -> Constraint:
    fields = reader.mapping(f"{place}: a constraint", value, "key", "value", "condition")
    return Constraint(
        reader.text(f"{place}: a constraint's key", fields.get("key")),
        reader.text(f"{place}: a constraint's value", fields.get("value")),
        reader.one_of(f"{place}: a constraint's condition", fields.get("condition"), "EQUAL", "NOTEQUAL", "MATCHES"),
    )
