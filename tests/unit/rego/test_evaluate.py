"""Rego policies are asked in a process of their own, whatever they do."""

from __future__ import annotations

import pytest

from prefect_slipway.infra.domain.errors import PolicyInvalid, PolicyTimedOut
from prefect_slipway.infra.rego.evaluator import evaluate, package_of

RULES = """\
package main

deny contains msg if {
	some each in input.packages
	each.name == "bad"
	msg := sprintf("the package %s", [each.name])
}

warn contains {"id": "user", "msg": "runs as root"} if input.user == ""
"""


async def test_rules_are_asked_about_a_document() -> None:
    """Sets come as lists; what no rule defines is None."""
    document = {"packages": [{"name": "good"}, {"name": "bad"}], "user": ""}
    queries = ["data.main.deny", "data.main.warn", "data.main.absent"]
    answers = await evaluate({"rules.rego": RULES}, document, queries, timeout_s=60)
    assert answers == [["the package bad"], [{"id": "user", "msg": "runs as root"}], None]


async def test_what_does_not_compile_is_told_with_its_place() -> None:
    """As people need it, without what the engine adds for programs."""
    with pytest.raises(PolicyInvalid) as told:
        await evaluate({"rules.rego": "package main\n\ndeny contains x if {"}, {}, ["data.main.deny"], timeout_s=60)
    assert "rules.rego:3:20" in told.value.details
    assert "rego-error" not in told.value.details


async def test_a_function_that_fails_is_not_a_rule_that_does_not_match() -> None:
    """A typo must not let everything pass."""
    rules = 'package main\n\ndeny contains "no number" if startswith(input.size, "x")\n'
    with pytest.raises(PolicyInvalid) as told:
        await evaluate({"rules.rego": rules}, {"size": 5}, ["data.main.deny"], timeout_s=60)
    assert told.value.details == "startswith: operand 1 must be string but got number: 5"


async def test_what_contradicts_itself_is_told() -> None:
    """Whatever ends an evaluation, the engine's own words say it."""
    rules = "package main\n\ndeny := 1 if true\n\ndeny := 2 if true\n"
    with pytest.raises(PolicyInvalid, match="cannot be evaluated") as told:
        await evaluate({"rules.rego": rules}, {}, ["data.main.deny"], timeout_s=60)
    assert told.value.details == "complete rules must not produce multiple outputs"


async def test_a_policy_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rego's `opa.runtime` shows the environment of the process."""
    monkeypatch.setenv("VAULT_TOKEN", "hvs.secret")
    rules = "package main\n\nseen := opa.runtime().env\n"
    (seen,) = await evaluate({"rules.rego": rules}, {}, ["data.main.seen"], timeout_s=60)
    assert "PYTHONPATH" in seen and not [name for name in seen if name.startswith("VAULT")]


@pytest.mark.parametrize(
    ("seconds", "memory", "kind", "words"),
    [
        (0.7, 1 << 40, PolicyTimedOut, "within 0.7 s"),
        (600.0, 1 << 28, PolicyInvalid, "too much memory"),
    ],
)
async def test_a_policy_that_does_not_end_is_ended(
    monkeypatch: pytest.MonkeyPatch, seconds: float, memory: int, kind: type[Exception], words: str
) -> None:
    """By time or by memory."""
    monkeypatch.setattr("prefect_slipway.infra.rego.evaluator._MEMORY", memory)
    rules = "package main\n\ndeny contains x if some x in numbers.range(1, 1000000000)\n"
    with pytest.raises(kind, match=words):
        await evaluate({"rules.rego": rules}, {}, ["data.main.deny"], timeout_s=seconds)


def test_a_module_has_to_name_its_package() -> None:
    """Comments before it do not count."""
    assert package_of("a.rego", "# package x\n\npackage team.images # ours\n") == "team.images"
    with pytest.raises(PolicyInvalid):
        package_of("a.rego", "deny := 1")
