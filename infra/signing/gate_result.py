"""The answer of a gate about an image, as in-toto's test result.

Source: in-toto/attestation, `spec/predicates/test-result.md` and `spec/v1/resource_descriptor.md`. One statement is
about one gate and names it first in `configuration`, with the digest of its definition; then come the waivers that were
applied. `finishedOn` and `report` are ours; readers ignore fields that they do not know (`spec/v1/README.md`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

from prefect_slipway.infra.domain.errors import SignatureMalformed
from prefect_slipway.infra.signing.reading import decode_base64, member, object_in, text_in

Answer = Literal["PASSED", "WARNED", "FAILED"]

MAX_EMBEDDED_BYTES = 1024 * 1024
"""A report up to this size is in the statement; of a larger one only its digest."""

_WHAT = "a test result"
_KIND = "kind"
_WAIVER = "waiver"
_MAX_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class Waiver:
    """Who lets a finding of a gate pass, why, and until which day (ISO 8601, the last one that it counts)."""

    gate: str
    finding: str
    by: str
    reason: str
    until: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """A report as the gate wrote it. `content`: None if only its digest is stated."""

    name: str
    media_type: str
    digest: str
    content: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, name: str, media_type: str, content: bytes) -> GateReport:
        """One to be stated: with its content, unless that is too large."""
        small = content if len(content) <= MAX_EMBEDDED_BYTES else None
        return cls(name, media_type, f"sha256:{hashlib.sha256(content).hexdigest()}", small)


@dataclass(frozen=True, slots=True)
class GateResult:
    """`gate`: its name. `kind`: command, deployment or policy, "" if another tool made the statement. `definition`: the
    digest of what was asked for, "" for none. `passed`, `warned`, `failed`: names of tests or findings. `url`: where
    the run is shown, "" for nowhere. `finished`: RFC 3339, "" for unknown."""

    gate: str
    answer: Answer
    kind: str = ""
    definition: str = ""
    passed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    url: str = ""
    finished: str = ""
    report: GateReport | None = None

    @property
    def holds(self) -> bool:
        """Whether the image may be used: it passed, with warnings or without."""
        return self.answer != "FAILED"

    def says_the_same(self, other: GateResult) -> bool:
        """Whether both are the same answer of the same gate; when it was given, and with which report, does not
        count."""
        return self._answer() == other._answer()

    def predicate(self) -> dict[str, Any]:
        """For a statement of the type TEST_RESULT."""
        gate = {"name": self.gate, "digest": _digests(self.definition), "annotations": {_KIND: self.kind}}
        stated: dict[str, Any] = {
            "result": self.answer,
            "configuration": [gate, *(_described(each) for each in self.waivers)],
            "passedTests": list(self.passed),
            "warnedTests": list(self.warned),
            "failedTests": list(self.failed),
            "finishedOn": self.finished,
        }
        if self.url:
            stated["url"] = self.url
        if (report := self.report) is not None:
            stated["report"] = {
                "name": report.name,
                "mediaType": report.media_type,
                "digest": _digests(report.digest),
            }
            if report.content is not None:
                stated["report"]["content"] = base64.b64encode(report.content).decode("ascii")
        return stated

    @classmethod
    def read(cls, predicate: Mapping[str, Any]) -> GateResult:
        """From the predicate of a verified statement, by whichever tool. Raises SignatureMalformed."""
        document = dict(predicate)
        answer = member(document, "result", str, _WHAT)
        if answer not in get_args(Answer):
            raise SignatureMalformed(f"{_WHAT} whose 'result' is not one of {', '.join(get_args(Answer))}")
        configuration = member(document, "configuration", list, _WHAT)
        if len(configuration) > _MAX_NAMES or not all(isinstance(each, dict) for each in configuration):
            raise SignatureMalformed(f"{_WHAT} whose 'configuration' is not a list of resource descriptors")
        first: dict[str, Any] = configuration[0] if configuration else {}
        return cls(
            gate=text_in(first, "name"),
            answer=cast(Answer, answer),
            kind=text_in(object_in(first, "annotations"), _KIND),
            definition=_digest(first),
            passed=_names(document, "passedTests"),
            warned=_names(document, "warnedTests"),
            failed=_names(document, "failedTests"),
            waivers=tuple(_waiver(each) for each in configuration[1:] if each.get("name") == _WAIVER),
            url=text_in(document, "url"),
            finished=text_in(document, "finishedOn"),
            report=_report(object_in(document, "report")),
        )

    def _answer(self) -> tuple[Any, ...]:
        return (
            *(self.gate, self.answer, self.kind, self.definition),
            *(self.passed, self.warned, self.failed, self.waivers),
        )


def _described(waiver: Waiver) -> dict[str, Any]:
    values = asdict(waiver)
    text = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    # A resource descriptor has to have a digest, a URI or content.
    return {"name": _WAIVER, "digest": {"sha256": hashlib.sha256(text).hexdigest()}, "annotations": values}


def _waiver(entry: Mapping[str, Any]) -> Waiver:
    told = object_in(entry, "annotations")
    return Waiver(*(text_in(told, name) for name in ("gate", "finding", "by", "reason", "until")))


def _report(entry: Mapping[str, Any]) -> GateReport | None:
    if not entry:
        return None
    content = entry.get("content")
    return GateReport(
        text_in(entry, "name"),
        text_in(entry, "mediaType"),
        _digest(entry),
        decode_base64(content, "a gate's report") if isinstance(content, str) else None,
    )


def _names(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = document.get(key) or []
    if not isinstance(names, list) or len(names) > _MAX_NAMES or not all(isinstance(each, str) for each in names):
        raise SignatureMalformed(f"{_WHAT} whose {key!r} is not a list of names")
    return tuple(names)


def _digests(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value} if value else {}


def _digest(entry: Mapping[str, Any]) -> str:
    value = text_in(object_in(entry, "digest"), "sha256")
    return f"sha256:{value}" if value else ""
