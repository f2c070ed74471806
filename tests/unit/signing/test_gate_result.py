"""Gates' answers as in-toto test results: what is written is read again, and what others write is read as well."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from prefect_slipway.flows.trust.signing import attest
from prefect_slipway.infra.domain.errors import SignatureMalformed
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import Attached, Attachment
from prefect_slipway.infra.signing.gate_result import MAX_EMBEDDED_BYTES, GateReport, GateResult, Waiver
from prefect_slipway.infra.signing.statement import TEST_RESULT, Statement
from tests.signers import LocalSigner

IMAGE = ImageReference.parse(f"registry.example/team/app@sha256:{'a' * 64}")
RESULT = GateResult(
    gate="scan",
    answer="WARNED",
    kind="command",
    definition=f"sha256:{'b' * 64}",
    passed=("licences",),
    warned=("CVE-2026-1",),
    waivers=(Waiver("scan", "CVE-2026-1", "anna@example.com", "not reachable", "2026-12-31"),),
    url="https://prefect.example/runs/flow-run/1",
    finished="2026-11-26T08:00:00Z",
    report=GateReport.of("scan.sarif", "application/sarif+json", b'{"runs": []}'),
)


def test_what_is_written_is_read_again() -> None:
    """By the names of the specification, as a statement about the image."""
    statement = Statement.parse(Statement.about(IMAGE, TEST_RESULT, RESULT.predicate()).encode())
    assert GateResult.read(statement.predicate) == RESULT
    predicate = statement.predicate
    assert predicate["result"] == "WARNED" and predicate["warnedTests"] == ["CVE-2026-1"]
    assert [each["name"] for each in predicate["configuration"]] == ["scan", "waiver"]
    assert all(each["digest"]["sha256"] for each in predicate["configuration"])


def test_a_large_report_is_known_by_its_digest_alone() -> None:
    """So that a signature stays small."""
    report = GateReport.of("log.txt", "text/plain", b"x" * (MAX_EMBEDDED_BYTES + 1))
    assert report.content is None and report.digest.startswith("sha256:")
    read = GateResult.read(replace(RESULT, report=report).predicate())
    assert read.report == report


def test_the_example_of_the_specification_is_read() -> None:
    """Another tool's statement: the first configuration names it."""
    read = GateResult.read(
        {
            "result": "PASSED",
            "configuration": [{"name": ".github/workflows/ci.yml", "digest": {"gitBlob": "ebe4add40f63"}}],
            "url": "https://github.com/in-toto/in-toto/actions/runs/4425592351",
            "passedTests": ["build (3.7, ubuntu-latest, py)"],
        }
    )
    assert (read.gate, read.holds, read.kind, read.definition) == (".github/workflows/ci.yml", True, "", "")


@pytest.mark.parametrize(
    "predicate",
    [
        {},
        {"result": "passed", "configuration": []},
        {"result": "PASSED"},
        {"result": "PASSED", "configuration": ["scan"]},
        {"result": "PASSED", "configuration": [], "failedTests": [1]},
        {"result": "PASSED", "configuration": [], "passedTests": "all"},
        {"result": "PASSED", "configuration": [{"name": "a"}], "report": {"name": "r", "content": "%"}},
    ],
)
def test_what_is_no_test_result_is_refused(predicate: dict[str, Any]) -> None:
    """By name, and not by a traceback."""
    with pytest.raises(SignatureMalformed):
        GateResult.read(predicate)


async def test_the_same_answer_is_attached_once() -> None:
    """At another time, with another report; another answer is attached as well."""
    store, signer = _Store(), LocalSigner()

    async def attach(result: GateResult) -> int:
        statement = Statement.about(IMAGE, TEST_RESULT, result.predicate())
        return await attest(IMAGE, [statement], signer, store, same=_same)

    later = replace(RESULT, finished="2026-11-27T08:00:00Z", url="", report=None)
    assert [await attach(RESULT), await attach(RESULT), await attach(later)] == [1, 0, 0]
    assert await attach(replace(later, answer="PASSED", warned=(), waivers=())) == 1
    assert await attach(replace(later, gate="smoke")) == 1


def _same(one: Statement, other: Statement) -> bool:
    return GateResult.read(one.predicate).says_the_same(GateResult.read(other.predicate))


class _Store:
    """Attachments in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, Attachment] = {}

    async def attached(self, digest: str) -> Sequence[Attached]:
        kept = self._kept.items()
        return [Attached(each.media_type, name, len(each.content), each.annotations) for name, each in kept]

    async def content(self, attached: Attached) -> bytes:
        return self._kept[attached.digest].content

    async def add(self, digest: str, attachments: Sequence[Attachment]) -> None:
        for each in attachments:
            self._kept[f"sha256:{hashlib.sha256(each.content).hexdigest()}"] = each
