"""What a gate's report says: SARIF, CycloneDX VEX, JUnit or text. A gate may have run a stranger's code: all of it is
hostile.

Sources: SARIF 2.1.0 (OASIS), 3.27 `result` and 3.49 `reportingDescriptor`; CycloneDX 1.6, `vulnerabilities`; JUnit's
XML as Jenkins reads it (testmoapp/junitxml).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Documents with a DTD, which alone can expand, are refused before.
from xml.etree import ElementTree

from prefect_slipway.infra.domain.errors import SignatureMalformed
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.signing.reading import object_in, objects_in, read_object, text_in

LIMIT = 16 << 20
"""Bytes of a report; a larger one counts as text."""

_PARTS = 2_000_000
_MOST = 1000
_LONGEST = 300
# What in XML is neither an element nor text, and how it ends.
_NO_ELEMENT = re.compile(rb"<!\[CDATA\[|<!--|<\?|<!")
_ENDS = {b"<![CDATA[": b"]]>", b"<!--": b"-->", b"<?": b"?>"}
# Of a vulnerability's analysis: those that leave the image as it is (CycloneDX 1.6, `impactAnalysisState`).
_HARMLESS = {"resolved", "resolved_with_pedigree", "false_positive", "not_affected"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`id`: by which a waiver names it. `minor`: only a warning, by the report."""

    id: str
    message: str = ""
    minor: bool = False

    @property
    def said(self) -> str:
        return f"{self.id}: {self.message}" if self.message and self.message != self.id else self.id


@dataclass(frozen=True, slots=True)
class ReadReport:
    """`passed`: names of tests that passed, where the report says so."""

    media_type: str
    findings: tuple[Finding, ...] = ()
    passed: tuple[str, ...] = ()


def read_report(raw: bytes) -> ReadReport:
    """What cannot be read in one of the three formats is text, which has no findings."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    start = raw[:4096].lstrip()
    if start.startswith(b"{"):
        try:
            document = read_object(raw, "a report", limit=LIMIT, parts=_PARTS)
        except SignatureMalformed:
            return ReadReport("text/plain")
        if isinstance(document.get("runs"), list):
            return _bounded("application/sarif+json", _sarif(document))
        if document.get("bomFormat") == "CycloneDX":
            return _bounded("application/vnd.cyclonedx+json", _vex(document))
        return ReadReport("application/json")
    if start.startswith(b"<") and len(raw) <= LIMIT and not _declares(raw):
        try:
            root = ElementTree.fromstring(raw.decode())  # noqa: S314
        except (ElementTree.ParseError, ValueError):
            return ReadReport("text/plain")
        if root.tag in {"testsuites", "testsuite"}:
            return _bounded("application/junit+xml", _junit(root))
    return ReadReport("text/plain")


def _declares(raw: bytes) -> bool:
    """Whether XML has a declaration (of a DTD or in one) outside of what is only text: a test's output may be HTML."""
    at = 0
    while (begin := _NO_ELEMENT.search(raw, at)) is not None:
        end = _ENDS.get(begin[0])
        at = raw.find(end, begin.end()) if end is not None else -1
        if at < 0:
            return True
    return False


def finding(id: object, message: object = "", *, minor: bool = False) -> Finding:
    """One from outside, made harmless and short."""
    return Finding(one_line(str(id))[:_LONGEST], one_line(str(message))[:_LONGEST], minor)


def _bounded(media_type: str, found: Iterator[Finding | str]) -> ReadReport:
    findings: dict[tuple[str, bool], Finding] = {}
    passed: dict[str, None] = {}
    for each in found:
        if isinstance(each, str):
            if len(passed) < _MOST:
                passed[one_line(each)[:_LONGEST]] = None
        elif len(findings) < _MOST:
            findings.setdefault((each.id, each.minor), each)
    return ReadReport(media_type, tuple(findings.values()), tuple(passed))


def _sarif(document: Mapping[str, Any]) -> Iterator[Finding | str]:
    for run in objects_in(document.get("runs")):
        rules = _Rules(run)
        for result in objects_in(run.get("results")):
            rule = rules.of(result)
            name = result.get("ruleId") or object_in(result, "rule").get("id") or rule.get("id") or "result"
            # 3.27.10: what is said of a result, else of its rule; of what is no failure nothing is.
            default = object_in(rule, "defaultConfiguration").get("level", "warning")
            level = result.get("level", default if result.get("kind", "fail") == "fail" else "none")
            accepted = [
                each for each in objects_in(result.get("suppressions")) if each.get("status") in {None, "accepted"}
            ]
            if result.get("kind") == "pass":
                yield str(name)
            elif level != "none" and not accepted:
                message = object_in(result, "message").get("text", "")
                yield finding(name, message, minor=level != "error")


class _Rules:
    """The rules of a run's tool, which results name by their place in the list, or by their id (3.27.5 to 3.27.7)."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        listed = object_in(object_in(run, "tool"), "driver").get("rules")
        self._rules: list[Any] = listed if isinstance(listed, list) else []
        self._by_id = {text_in(each, "id"): each for each in objects_in(listed)}

    def of(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        named = object_in(result, "rule")
        # A rule of an extension is in another list.
        at = result.get("ruleIndex", named.get("index")) if "toolComponent" not in named else None
        if isinstance(at, int) and 0 <= at < len(self._rules):
            (rule,) = objects_in(self._rules[at : at + 1]) or [{}]
            return rule
        return self._by_id.get(text_in(result, "ruleId") or text_in(named, "id"), {})


def _vex(document: Mapping[str, Any]) -> Iterator[Finding | str]:
    for each in objects_in(document.get("vulnerabilities")):
        name = str(each.get("id") or "vulnerability")
        if object_in(each, "analysis").get("state") in _HARMLESS:
            yield name
        else:
            yield finding(name, each.get("description") or "")


def _junit(root: ElementTree.Element) -> Iterator[Finding | str]:
    for case in root.iter("testcase"):
        name = ".".join(filter(None, (case.get("classname"), case.get("name")))) or "test"
        wrong = next((each for each in case if each.tag in {"failure", "error"}), None)
        if wrong is not None:
            yield finding(name, wrong.get("message") or wrong.text or "")
        elif case.find("skipped") is None:
            yield name
