"""Check what verified statements say against what is required."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect_slipway.flows.request.requirements import Requirements
from prefect_slipway.infra.domain.errors import (
    BuildTimeUnknown,
    GateNotPassed,
    NotRebuilt,
    OtherRef,
    OtherSource,
    SignatureMalformed,
    TooOld,
)
from prefect_slipway.infra.domain.options import seconds_of
from prefect_slipway.infra.signing.gate_result import GateResult
from prefect_slipway.infra.signing.provenance import Provenance
from prefect_slipway.infra.signing.verification import Attestation

_CLOCKS_DIFFER = timedelta(minutes=5)
_UNKNOWN = datetime.min.replace(tzinfo=UTC)
_HEADS = "refs/heads/"
# An scp-like address has no scheme, and a colon where others have the path's slash.
_ADDRESS = re.compile(
    r"(?:(?:git\+)?(?P<scheme>[a-z+]+)://)?(?:[^@/]*@)?(?P<host>[^/:]*(?::[0-9]+(?=/))?)[:/]*(?P<path>.*)"
)


def check_provenance(required: Requirements, found: Provenance, now: datetime | None = None) -> None:
    """Raises OtherSource, OtherRef, TooOld, BuildTimeUnknown."""
    source, _, fragment = found.source.partition("#")
    if required.source is not None:
        if not source or _repository(source) != _repository(required.source):
            raise OtherSource(f"the image was built from {source[:300] or 'an unknown source'}, not {required.source}")
        if found.revision.endswith("-dirty"):
            raise OtherSource(f"the image was built from {source[:300]} with local changes")
    if required.ref is not None:
        stated = found.ref or fragment.partition(":")[0]
        if required.ref not in {stated, stated.removeprefix(_HEADS), found.revision}:
            raise OtherRef(f"the image was built from the ref {stated[:300] or '(unknown)'}, not {required.ref}")
    if required.max_age is not None:
        _check_age(required.max_age, found.finished, now or datetime.now(UTC))


def gate_answer(name: str, attested: Sequence[Attestation]) -> GateResult | None:
    """The newest result of a gate, None if there is none. Raises GateNotPassed, and SignatureMalformed if nothing but
    unreadable results is there."""
    found: list[GateResult] = []
    unreadable: SignatureMalformed | None = None
    for each in attested:
        try:
            result = GateResult.read(each.statement.predicate)
        except SignatureMalformed as error:
            unreadable = error
            continue
        if result.gate == name:
            found.append(result)
    if not found:
        if unreadable is not None:
            raise unreadable
        return None
    # Of several at one time, or without one, a failure counts.
    newest = max(found, key=lambda result: (_time(result.finished) or _UNKNOWN, not result.holds))
    if not newest.holds:
        failed = ", ".join(newest.failed[:5])
        raise GateNotPassed(f"the image did not pass the gate {name!r}" + (f": {failed[:500]}" if failed else ""))
    return newest


def check_rebuilt(attested: Sequence[Attestation]) -> None:
    """Raises NotRebuilt unless one says so."""
    if not any(each.statement.predicate.get("reproduced") is True for each in attested):
        raise NotRebuilt("a rebuild of the image had another digest")


def _check_age(most: str, finished: str, now: datetime) -> None:
    built = _time(finished)
    if built is None:
        raise BuildTimeUnknown("the image's provenance does not say when its build finished")
    if built > now + _CLOCKS_DIFFER:
        raise BuildTimeUnknown(f"the image's build finished in the future, {built.isoformat(timespec='seconds')}")
    if now - built > timedelta(seconds=seconds_of(most)):
        raise TooOld(f"the image's build finished on {built.isoformat(timespec='seconds')}, longer than {most} ago")


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _repository(address: str) -> tuple[str, str]:
    """Host and path: the same repository by HTTPS and SSH."""
    match = _ADDRESS.fullmatch(address)
    assert match is not None, "it fits anything"
    return match["host"].lower(), match["path"].strip("/").removesuffix(".git")
