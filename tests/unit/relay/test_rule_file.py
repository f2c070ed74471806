"""Reading a rule file: mistakes are named with their line, and a bad file does not replace a good one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from prefect_slipway.flows.relay import LOGGER
from prefect_slipway.flows.relay.rulefile import RuleFile, parse_rules
from prefect_slipway.infra.domain.errors import InvalidOption

GOOD = """sources:
  - name: github
    forge: github
    secret: vault:secret/webhooks/github
rules:
  - name: app
    repository: team/app
    branch: main
    deployment: release/app
    parameters: {request: {ref: "{{ commit }}", day: 2026-11-24}}
"""


def mistake(text: str) -> str:
    with pytest.raises(InvalidOption) as error:
        parse_rules(text.encode(), "rules.yaml")
    return error.value.cause


def test_a_good_file() -> None:
    """What looks like a date stays the text it is."""
    book = parse_rules(GOOD.encode(), "rules.yaml")
    assert [source.name for source in book.sources] == ["github"]
    assert book.rules[0].parameters["request"]["day"] == "2026-11-24"


def test_the_sample_is_good() -> None:
    """deployments/samples/rules.yaml can be used as it is."""
    path = Path(__file__).parents[3] / "deployments" / "samples" / "rules.yaml"
    book = RuleFile(path).rules
    assert {source.forge for source in book.sources} == {"github", "gitlab", "gitea", "forgejo", "generic"}
    assert book.rules


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("repository: team/app", "repo: team/app", "rules.yaml:7, rule app, repo: there is no such field"),
        ("    repository: team/app\n", "", "rules.yaml:6, rule app, repository: is missing"),
        ("    branch: main", "    brunch: main", "rules.yaml:8, rule app, brunch: there is no such field"),
        ("branch: main", "branch: 5", "rules.yaml:8, rule app, branch: must be a list"),
        ("branch: main", "branch: []", "rules.yaml:8, rule app, branch: needs at least 1"),
        ("branch: main", "branch: [main, '']", "rules.yaml:8, rule app, branch: is empty, or shorter than 1"),
        ("release/app", "app", "rules.yaml:9, rule app, deployment: a deployment has the form FLOW/NAME"),
        ("{{ commit }}", "{{ sha }}", "rules.yaml:10, rule app, parameters: {{ sha }} is unknown; known names are"),
        (
            "{{ commit }}",
            "{{ commit.upper() }}",
            "rules.yaml:10, rule app, parameters: {{ commit.upper() }} is unknown",
        ),
        ("{{ commit }}", "{{ tag }}", "rules.yaml:6, rule app: {{ tag }} is always empty"),
        ("branch: main", "version_tags: true", "rules.yaml:6, rule app: version_tags has no effect"),
        ("branch: main", "source: gitlab", "rules.yaml:1: rule app does not use any existing source"),
        ("forge: github", "forge: gitbucket", "rules.yaml:3, source github, forge: must be 'github'"),
        ("vault:secret/webhooks/github", "vault:x", "rules.yaml:4, source github, secret: a secret's place in Vault"),
        ("vault:secret/webhooks/github", "hunter2hunter2", "rules.yaml:4, source github, secret: is neither vault:"),
        ("name: app", "name: App 1", "rules.yaml:6, rule App 1, name: a name has at most 63"),
        ("    branch: main", "    name: other", "rules.yaml:8: 'name' appears twice"),
        ("branch: main", "branch: *x", "rules.yaml:8: not YAML: found undefined alias"),
        ("branch: main", "branch: !x", "rules.yaml:8: not YAML: could not determine a constructor for the tag"),
        ("rules:", "rules: {}\nrulez:", "rules.yaml:"),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, expected: str) -> None:
    """File, line, source or rule, field, and what is wrong; never a secret that was put there by mistake."""
    said = mistake(GOOD.replace(old, new))
    assert said.startswith(expected), said
    assert "hunter2" not in said


def test_names_are_unique() -> None:
    """A run's key is made of the rule's."""
    again = GOOD[GOOD.index("  - name: app") :]
    assert "two rules have the name 'app'" in mistake(GOOD + again)


@pytest.mark.parametrize("text", ["", "[]", "- a", "x", "sources: []", "rules: []", "\x00", "a: b: c", "{"])
def test_what_is_no_rule_file(text: str) -> None:
    """It is said, whatever it is."""
    assert mistake(text).startswith("rules.yaml")


def test_a_bad_new_file_keeps_the_old_rules(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And says so, once; a good one is in force at once, and so is the old one put back."""
    caplog.set_level(logging.INFO, LOGGER)
    path = tmp_path / "rules.yaml"
    path.write_text(GOOD)
    rules = RuleFile(path)
    good = rules.rules
    path.write_text(GOOD.replace("branch: main", "brunch: main"))
    rules.refresh()
    rules.refresh()
    assert rules.rules is good
    assert rules.problem is not None
    assert "rule app, brunch" in rules.problem
    assert caplog.text.count("the rules are unchanged") == 1
    path.unlink()
    rules.refresh()
    assert rules.rules is good
    path.write_text(GOOD.replace("main", "dev"))
    rules.refresh()
    assert rules.problem is None
    assert rules.rules.rules[0].branch == ("dev",)
    path.unlink()
    rules.refresh()
    path.write_text(GOOD.replace("main", "dev"))
    rules.refresh()
    assert rules.problem is None


def test_no_file_at_the_start(tmp_path: Path) -> None:
    """Without rules there is nobody to listen to."""
    with pytest.raises(InvalidOption, match="cannot be read"):
        RuleFile(tmp_path / "none.yaml")
