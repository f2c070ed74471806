"""What gates' answers mean: exit codes, reports, policies, runs, and the waivers of findings."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from prefect_slipway.flows.gates.findings import Finding, read_report
from prefect_slipway.flows.gates.prepared import ALLOWED, prepare_command
from prefect_slipway.flows.gates.verdict import WARNED, of_command, of_policy, of_run
from prefect_slipway.flows.gates.waivers import about_waivers, read_waivers
from prefect_slipway.flows.request.gates import Gate, Gates
from prefect_slipway.infra.domain.errors import (
    GateForbidden,
    GateMissing,
    InvalidOption,
    PolicyInvalid,
    WaiverInvalid,
)

TODAY = date(2026, 11, 26)
WAIVER = '[[waiver]]\ngate = "scan"\nfinding = "{}"\nby = "anna"\nreason = "unreachable"\nuntil = {}\n'
SARIF = {
    "version": "2.1.0",
    "runs": [
        {
            "results": [
                {"ruleId": "CVE-1", "level": "error", "message": {"text": "bad"}},
                {"ruleId": "CVE-2", "message": {"text": "less bad"}},
                {"ruleId": "CVE-3", "level": "error", "suppressions": [{"kind": "external", "status": "accepted"}]},
                {"ruleId": "CVE-4", "kind": "pass"},
                {"ruleId": "CVE-5", "level": "none"},
            ]
        }
    ],
}
VEX = {
    "bomFormat": "CycloneDX",
    "vulnerabilities": [
        {"id": "CVE-1", "analysis": {"state": "exploitable"}, "description": "bad"},
        {"id": "CVE-2", "analysis": {"state": "not_affected"}},
        {"id": "CVE-3"},
    ],
}
JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite><testcase classname="web" name="starts"/>
<testcase classname="web" name="answers"><failure message="HTTP 500"/></testcase>
<testcase name="later"><skipped/></testcase></testsuite></testsuites>"""


PAGE = (
    "<!-- <!DOCTYPE a> --><?x <!DOCTYPE a> ?>"
    '<testcase name="page"><failure><![CDATA[not <!DOCTYPE html> <!-- here -->]]></failure></testcase>'
)
RULES = {
    "runs": [
        {
            "tool": {"driver": {"rules": [{"id": "A", "defaultConfiguration": {"level": "error"}}, {"id": "B"}, 7]}},
            "results": [
                {"ruleId": "A"},
                {"ruleIndex": 1},
                {"ruleId": "A", "ruleIndex": 0, "level": "note"},
                {"rule": {"index": 0}, "kind": "informational"},
                {"ruleId": "C", "ruleIndex": 2},
                {"ruleId": "D", "rule": {"index": 0, "toolComponent": {"index": 0}}},
            ],
        }
    ]
}


def _ids(findings: tuple[Finding, ...]) -> list[str]:
    return [each.id for each in findings]


@pytest.mark.parametrize(
    ("raw", "kind", "found", "passed"),
    [
        (json.dumps(SARIF), "application/sarif+json", ["CVE-1", "CVE-2"], ["CVE-4"]),
        (json.dumps(VEX), "application/vnd.cyclonedx+json", ["CVE-1", "CVE-3"], ["CVE-2"]),
        (JUNIT, "application/junit+xml", ["web.answers"], ["web.starts"]),
        (f"\ufeff{json.dumps(SARIF)}", "application/sarif+json", ["CVE-1", "CVE-2"], ["CVE-4"]),
        (f"\ufeff{JUNIT}", "application/junit+xml", ["web.answers"], ["web.starts"]),
        (json.dumps(RULES), "application/sarif+json", ["A", "B", "A", "C", "D"], []),
        ("3 findings", "text/plain", [], []),
        ('{"a": 1}', "application/json", [], []),
        (json.dumps(SARIF)[:-5], "text/plain", [], []),
        ("[" * 100_000, "text/plain", [], []),
        ('{"runs":' * 50_000, "text/plain", [], []),
        ('{"runs": [1, {"results": {}}, {"results": [null, {"rule": 1}]}]}', "application/sarif+json", ["result"], []),
        ("<testsuite>" * 10, "text/plain", [], []),
        ('<!DOCTYPE x [<!ENTITY a "b">]><testsuite/>', "text/plain", [], []),
        ("<html/>", "text/plain", [], []),
        (f"<testsuite>{PAGE}</testsuite>", "application/junit+xml", ["page"], []),
        ("<testsuite><?x <!-- ?><!DOCTYPE x><?y --> ?></testsuite>", "text/plain", [], []),
        ("<?x <!-- ?><!DOCTYPE x [<!ENTITY a 'b'>]><testsuite/><!-- -->", "text/plain", [], []),
        ("<!--" * 1_000_000, "text/plain", [], []),
    ],
)
def test_reports_are_read(raw: str, kind: str, found: list[str], passed: list[str]) -> None:
    """Whatever is not one of them is text, without findings that a waiver could name."""
    report = read_report(raw.encode())
    assert (report.media_type, _ids(report.findings), list(report.passed)) == (kind, found, passed)


def test_an_exit_code_decides_and_a_report_names_what_was_found() -> None:
    """0 passed, 80 warned, others failed; of a scanner that fails with warnings alone, those count."""
    report = read_report(json.dumps(SARIF).encode())
    assert of_command(0, None).outcome == "passed"
    assert (of_command(0, report).outcome, _ids(of_command(0, report).warned)) == ("warned", ["CVE-1", "CVE-2"])
    assert of_command(WARNED, None).outcome == "warned"
    failed = of_command(1, report)
    assert (failed.outcome, _ids(failed.failed), _ids(failed.warned)) == ("failed", ["CVE-1"], ["CVE-2"])
    minor = {"runs": [{"results": [{"ruleId": "CVE-2"}]}]}
    assert _ids(of_command(1, read_report(json.dumps(minor).encode())).failed) == ["CVE-2"]
    assert [of_command(code, report).final for code in (1, 125, 126, 127, 137, -9)] == [False] * 2 + [True] * 4


def test_a_result_is_as_bad_as_its_rule() -> None:
    """Semgrep and CodeQL tell the level with the rule alone: it fails beside others as well, and needs a waiver."""
    explicit = {"results": [{"ruleId": "X", "level": "error"}]}
    report = read_report(json.dumps({"runs": [explicit, *RULES["runs"]]}).encode())
    failed = of_command(1, report)
    assert (_ids(failed.failed), _ids(failed.warned)) == (["X", "A"], ["B", "A", "C", "D"])
    one = read_waivers("w", WAIVER.format("X", "2026-12-31"))
    assert failed.waived("scan", one, TODAY).outcome == "failed"


def test_a_waiver_lets_exactly_its_finding_pass() -> None:
    """The gate fails as long as one finding has none; a waiver of all covers a gate without findings as well, but no
    gate that gave no answer."""
    two = of_command(1, read_report(json.dumps(VEX).encode()))
    one = read_waivers("w", WAIVER.format("CVE-1", "2026-11-26"))
    left = two.waived("scan", one, TODAY)
    assert (left.outcome, _ids(left.failed), left.waivers) == ("failed", ["CVE-3"], one)
    both = (*one, *read_waivers("w", WAIVER.format("CVE-3", "2027-01-01")))
    done = two.waived("scan", both, TODAY)
    assert (done.outcome, done.failed, _ids(done.warned), done.waivers) == ("warned", (), ["CVE-1", "CVE-3"], both)
    assert two.waived("other", both, TODAY).outcome == "failed"
    assert two.waived("scan", both, date(2026, 11, 27)).outcome == "failed"
    everything = read_waivers("w", WAIVER.format("*", "2026-12-31"))
    assert of_command(1, None).waived("scan", everything, TODAY).outcome == "warned"
    assert of_command(1, None).waived("scan", both, TODAY).outcome == "failed"
    assert of_command(-9, None).waived("scan", everything, TODAY).outcome == "failed"


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "other = 1",
        "waiver = 1",
        "[[waiver]]",
        WAIVER.format("a", '"soon"'),
        WAIVER.format("a", "2026-11-26T10:00:00Z"),
        WAIVER.format("a", "2026-12-31") + "forever = true",
        WAIVER.format("", "2026-12-31"),
        WAIVER.format("a", "1"),
    ],
)
def test_wrong_waivers_are_refused(text: str) -> None:
    """By name: one that is not understood must not seem to hold."""
    with pytest.raises(WaiverInvalid):
        read_waivers("waivers.toml", text)


def test_waivers_warn_before_they_end() -> None:
    """A week before, after, and where their gate does not exist."""
    days = ["2026-12-04", "2026-12-03", "2026-11-26", "2026-11-25"]
    told = [list(about_waivers(read_waivers("w", WAIVER.format("a", day)), ["scan"], TODAY)) for day in days]
    assert [each[0].rpartition(") ")[2] if each else "" for each in told] == [
        "",
        "ends on 2026-12-03",
        "ends on 2026-11-26",
        "ended on 2026-11-25: it no longer counts",
    ]
    assert "does not have" in next(about_waivers(read_waivers("w", WAIVER.format("a", days[0])), ["smoke"], TODAY))


@pytest.mark.parametrize(
    ("denied", "warned", "outcome", "ids"),
    [
        ([], None, "passed", []),
        (None, ["old base"], "warned", []),
        (["no owner", {"msg": "root", "id": "user"}, {"msg": "m"}], [], "failed", ["no owner", "user", "m"]),
        ({"no owner": True}, None, "failed", ["no owner"]),
        ("no owner", None, "failed", ["no owner"]),
        (False, False, "passed", []),
    ],
)
def test_policies_answer_with_sets(denied: Any, warned: Any, outcome: str, ids: list[str]) -> None:
    """Of text, or of objects with a message and an id, as conftest has them."""
    verdict = of_policy(denied, warned, "rules")
    assert (verdict.outcome, _ids(verdict.failed)) == (outcome, ids)


@pytest.mark.parametrize(("denied", "warned"), [(None, None), ([1], None), ([{"id": "x"}], None), (True, None)])
def test_a_policy_that_decides_nothing_is_refused(denied: Any, warned: Any) -> None:
    """A typo in a rule's name must not let everything pass."""
    with pytest.raises(PolicyInvalid):
        of_policy(denied, warned, "rules")


def test_a_run_answers_by_its_state() -> None:
    """One that failed has answered; one that crashed or was cancelled has not, so no waiver helps."""
    assert of_run("COMPLETED", "Completed", "").outcome == "passed"
    assert of_run("COMPLETED", "Warned", "slow").outcome == "warned"
    assert [of_run(kind, kind.title(), "").final for kind in ("FAILED", "CRASHED", "CANCELLED")] == [False, True, True]


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("scan: trivy image $SLIPWAY_GATE_REFERENCE", Gate("scan", "command", "trivy image $SLIPWAY_GATE_REFERENCE")),
        ("deployment:smoke/kubernetes", Gate("smoke/kubernetes", "deployment", "smoke/kubernetes")),
        ("smoke: deployment:smoke/kubernetes", Gate("smoke", "deployment", "smoke/kubernetes")),
        ("policy:source:policies/image.rego", Gate("image", "policy", "source:policies/image.rego")),
        ("policy:block:rules", Gate("rules", "policy", "block:rules")),
        ("own: policy:/etc/rules.rego", Gate("own", "policy", "/etc/rules.rego")),
    ],
)
def test_gates_are_read(text: str, gate: Gate) -> None:
    """Each with a name, by which waivers and attestations know it."""
    assert Gate.parse(text) == gate


@pytest.mark.parametrize(
    "text",
    ["trivy image", "scan:", "a b: true", "deployment:smoke", "policy:rules.rego", "policy:/etc/shadow", "x: 'open"],
)
def test_gates_that_cannot_be_read_are_refused(text: str) -> None:
    """Before anything is recorded."""
    with pytest.raises(InvalidOption):
        Gates.read({"run": [text]})


def test_two_gates_have_two_names() -> None:
    """Else a waiver of one would be of both."""
    with pytest.raises(InvalidOption):
        Gates.read({"run": ["a: true", "a: false"]})


def test_a_worker_starts_only_what_its_operator_allows() -> None:
    """Who triggers a run chooses its parameters, and must not choose what runs on the worker; a person's own machine
    starts what the person types."""
    gate = Gate.parse("scan: sh -c true")
    assert prepare_command(gate, supervised=False, env={}).argv == ("sh", "-c", "true")
    for allowed in ("", "trivy", "s", "sh -c true"):
        with pytest.raises(GateForbidden):
            prepare_command(gate, supervised=True, env={ALLOWED: allowed})
    for allowed in ("trivy, sh", "*"):
        assert prepare_command(gate, supervised=True, env={ALLOWED: allowed}).argv[0] == "sh"
    with pytest.raises(GateMissing):
        prepare_command(Gate.parse("scan: no-such-program"), supervised=False, env={})
