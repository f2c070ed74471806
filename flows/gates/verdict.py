"""What a gate's answer means for the image, with the waivers that apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from prefect_slipway.flows.gates.findings import Finding, ReadReport, finding
from prefect_slipway.flows.gates.waivers import ANY, find_waiver
from prefect_slipway.infra.domain.errors import PolicyInvalid
from prefect_slipway.infra.signing.gate_result import Waiver

WARNED = 80
"""The exit code of a command that lets the image pass with a warning."""
# From here on the shell and the system speak, not the program (POSIX, 2.8.2).
_NOT_AN_ANSWER = 126


@dataclass(frozen=True, slots=True)
class Verdict:
    """`final`: no waiver helps, because the gate gave no answer about the image."""

    outcome: Literal["passed", "warned", "failed"]
    why: str = ""
    failed: tuple[Finding, ...] = ()
    warned: tuple[Finding, ...] = ()
    passed: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    final: bool = False

    def waived(self, gate: str, waivers: Sequence[Waiver], today: date) -> Verdict:
        """The same with the waivers in force: it fails as long as one finding has none. A failure without findings
        is one itself, for a waiver of `*`."""
        if self.outcome != "failed" or self.final:
            return self
        findings = self.failed or (finding(ANY, self.why),)
        found = [find_waiver(waivers, gate, each.id, today) for each in findings]
        left = tuple(each for each, waiver in zip(findings, found, strict=True) if waiver is None)
        let = tuple(each for each, waiver in zip(findings, found, strict=True) if waiver is not None)
        used = tuple(dict.fromkeys(waiver for waiver in found if waiver is not None))
        if left:
            return replace(self, failed=left if self.failed else (), warned=(*self.warned, *let), waivers=used)
        return replace(self, outcome="warned", failed=(), warned=(*self.warned, *let), waivers=used)


def of_command(code: int, report: ReadReport | None) -> Verdict:
    """By its exit code: 0 passed, 80 warned, any other failed. What a report lists as found is a warning where the
    command lets the image pass."""
    findings = report.findings if report is not None else ()
    passed = report.passed if report is not None else ()
    if code in {0, WARNED}:
        outcome: Literal["passed", "warned"] = "warned" if findings or code == WARNED else "passed"
        return Verdict(outcome, warned=findings, passed=passed)
    failed = tuple(each for each in findings if not each.minor)
    # A command that fails with warnings alone means those.
    warned = tuple(each for each in findings if each.minor) if failed else ()
    why = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
    final = not 0 < code < _NOT_AN_ANSWER
    return Verdict("failed", why, failed or findings, warned, passed, final=final)


def of_policy(denied: Any, warned: Any, name: str) -> Verdict:
    """By its sets `deny` and `warn`. Raises PolicyInvalid."""
    if denied is None and warned is None:
        raise PolicyInvalid(
            f"the policy {name} has neither a set deny nor a set warn", action="write e.g. `deny contains msg if { … }`"
        )
    failures, warnings = _rules(denied, name), _rules(warned, name)
    if failures:
        return Verdict("failed", f"{len(failures)} denied", failures, warnings)
    return Verdict("warned" if warnings else "passed", warned=warnings)


def of_run(kind: str, name: str, message: str) -> Verdict:
    """By the final state of a deployment's run: its type, name and message."""
    if kind == "COMPLETED":
        return Verdict("warned", message) if name.lower() == "warned" else Verdict("passed")
    return Verdict("failed", f"{name}: {message}" if message else name, final=kind != "FAILED")


def _rules(value: Any, name: str) -> tuple[Finding, ...]:
    if value is None or value is False:
        return ()
    if isinstance(value, dict):
        # `deny[msg] { … }` as before Rego 1: the engine makes an object of it.
        value = [key for key, holds in value.items() if holds is not False] if "msg" not in value else [value]
    if not isinstance(value, list):
        value = [value]
    found = []
    for each in value:
        if isinstance(each, str):
            found.append(finding(each))
        elif isinstance(each, dict) and isinstance(each.get("msg"), str):
            found.append(finding(each.get("id") or each["msg"], each["msg"]))
        else:
            raise PolicyInvalid(f"the policy {name} answers with {str(each)[:100]!r}, not with text or {{msg, id}}")
    return tuple(found)
