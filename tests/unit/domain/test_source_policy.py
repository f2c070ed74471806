"""A source policy is read strictly, and says which rule denies a source."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.source_policy import MOST_BYTES, SourcePolicy
from tests.source_policies import policy, rule

HUB = "docker-image://docker.io/library"


def denied(source: str, *rules: Any) -> str | None:
    found = policy(*rules).denied_by(source)
    return str(found) if found is not None else None


def test_the_last_matching_rule_counts() -> None:
    """What is denied and allowed later on is allowed; what no rule matches is allowed."""
    rules = [
        rule("DENY", "docker-image://*"),
        rule("ALLOW", f"{HUB}/*"),
        rule("DENY", f"{HUB}/busybox:latest", "EXACT"),
    ]
    assert denied("docker-image://ghcr.io/a/b:1", *rules) == "rule 1, DENY docker-image://*"
    assert denied(f"{HUB}/alpine:3", *rules) is None
    assert denied(f"{HUB}/busybox:latest", *rules) == f"rule 3, DENY {HUB}/busybox:latest"
    assert denied("https://example.com/file", *rules) is None


def test_what_is_converted_is_looked_at_again() -> None:
    """A pinned image is judged by what it is pinned to; wildcards and groups are filled in."""
    pin = rule("CONVERT", f"{HUB}/alpine:3", "EXACT", identifier=f"{HUB}/alpine:3@sha256:{'0' * 64}")
    unpinned = [rule("DENY", "docker-image://*"), rule("ALLOW", "docker-image://*@sha256:*")]
    assert denied(f"{HUB}/alpine:3", *unpinned, pin) is None
    assert denied(f"{HUB}/alpine:4", *unpinned, pin) == "rule 1, DENY docker-image://*"
    mirrored = rule("CONVERT", "docker-image://docker.io/*", identifier="docker-image://mirror.example/${1}")
    assert denied(f"{HUB}/a:1", mirrored, rule("DENY", "docker-image://mirror.example/library/a:1")) is not None
    grouped = rule("CONVERT", r"://docker\.io/(\w+)/", "REGEX", identifier="://mirror.example/$1/")
    assert denied(f"{HUB}/a:1", grouped, rule("DENY", "docker-image://mirror.example/library/a:1")) is not None


def test_what_is_not_known_is_not_claimed() -> None:
    """Attributes, expressions that only Go reads, and rules that go round in circles say nothing."""
    limited = rule("DENY", "https://*")
    limited["selector"]["constraints"] = [{"key": "http.checksum", "value": "", "condition": "EQUAL"}]
    assert denied("https://example.com/", limited) is None
    assert denied("https://example.com/", rule("DENY", r"https://\pL+", "REGEX")) is None
    circle = [
        rule("CONVERT", "https://a", identifier="https://b"),
        rule("CONVERT", "https://b", identifier="https://a"),
    ]
    assert denied("https://a", *circle) is None


def test_enumerations_by_number_as_older_files_have_them() -> None:
    """BuildKit reads both; what is left out is the first."""
    read = policy({"action": 1, "selector": {"identifier": "a", "match_type": 1}}, {"selector": {"identifier": "b"}})
    assert [(each.action, each.match_type) for each in read.rules] == [("DENY", "EXACT"), ("ALLOW", "WILDCARD")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "the policy is not an object"),
        ("{}", "the policy has no rules"),
        ('{"rules": 1}', "rules is not a list"),
        ('{"rules": [1]}', "rule 1 is not an object"),
        ('{"version": 2, "rules": [{}]}', "version is not 1"),
        ('{"rules": [{"selector": {}}]}', "rule 1: selector.identifier is not a text"),
        ('{"rules": [{"selector": {"identifier": ""}}]}', "rule 1 has no selector.identifier"),
        ('{"rules": [{"action": "deny", "selector": {"identifier": "a"}}]}', "is none of ALLOW, DENY, CONVERT"),
        ('{"rules": [{"action": true, "selector": {"identifier": "a"}}]}', "is none of ALLOW, DENY, CONVERT"),
        ('{"rules": [{"deny": 1, "selector": {"identifier": "a"}}]}', "rule 1 has the unknown field 'deny'"),
        ('{"rules": [{"selector": {"identifier": "**"}}]}', "has two `*` in a row"),
        ('{"rules": [{"action": "CONVERT", "selector": {"identifier": "a"}}]}', "updates is not an object"),
        (
            '{"rules": [{"action": "DENY", "selector": {"identifier": "a"}, "updates": {"attrs": {}}}]}',
            "has updates, which DENY does not use",
        ),
        (
            '{"rules": [{"action": "CONVERT", "selector": {"identifier": "a"}, "updates": {"attrs": {"b": 1}}}]}',
            "updates.attrs.b is not a text",
        ),
        ('{"rules": [{"selector": {"identifier": "a", "constraints": [{"key": "b"}]}}]}', "value is not a text"),
        (" " * (MOST_BYTES + 1), "larger than 256 KiB"),
    ],
)
def test_what_cannot_be_read(text: str, reason: str) -> None:
    """A mistake in a policy is never passed over: it might allow what somebody wanted to forbid."""
    with pytest.raises(InvalidOption, match=r"^the policy: ") as error:
        SourcePolicy.read("the policy", text)
    assert reason in error.value.cause


def test_it_is_known_by_its_files_digest() -> None:
    """The digest is what sha256sum prints."""
    text = '{"rules": [{"selector": {"identifier": "a"}}]}\n'
    assert (
        SourcePolicy.read("it", text).digest
        == "sha256:54276235b9892a4d71c33869d5b6d93170cd9144416ed7cc3bb8d2a96e940017"
    )
