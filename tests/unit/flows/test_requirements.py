"""What is required of an image, and what its verified statements say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from prefect_slipway.blocks import Policy
from prefect_slipway.flows.request.requirements import Requirements
from prefect_slipway.flows.trust.stated import check_provenance, check_rebuilt, gate_answer
from prefect_slipway.infra.domain.errors import (
    BuildTimeUnknown,
    GateNotPassed,
    InvalidOption,
    NotRebuilt,
    OtherRef,
    OtherSource,
    SignatureMalformed,
    SlipwayError,
    TooOld,
)
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.signing.gate_result import GateResult
from prefect_slipway.infra.signing.provenance import Provenance
from prefect_slipway.infra.signing.statement import REBUILT, TEST_RESULT, Statement
from prefect_slipway.infra.signing.verification import Attestation

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SOURCE = "https://git.example.com/team/app"


def provenance(**changes: Any) -> Provenance:
    usual = Provenance(source=f"{SOURCE}.git", ref="main", revision="a" * 40, finished="2026-11-26T11:00:00.123456789Z")
    return replace(usual, **changes)


def attested(kind: str, *predicates: dict[str, Any]) -> list[Attestation]:
    return [Attestation(PublicKey("a key", b""), b"", Statement(kind, predicate, ())) for predicate in predicates]


@pytest.mark.parametrize(
    ("required", "changes"),
    [
        ({"source": SOURCE}, {}),
        ({"source": f"{SOURCE}.git/"}, {}),
        ({"source": "ssh://git@git.example.com/team/app.git"}, {}),
        ({"source": "https://GIT.example.com/team/app"}, {}),
        ({"source": SOURCE}, {"source": "git@git.example.com:team/app.git"}),
        ({"source": SOURCE, "ref": "main"}, {"source": f"git+{SOURCE}#refs/heads/main", "ref": ""}),
        ({"source": SOURCE, "ref": "main"}, {"source": f"{SOURCE}#main:folder", "ref": ""}),
        ({"source": "https://git.example.com:8443/app"}, {"source": "https://git.example.com:8443/app.git"}),
        ({"ref": "main"}, {"ref": "refs/heads/main"}),
        ({"ref": "refs/heads/main"}, {"ref": "refs/heads/main"}),
        ({"ref": "a" * 40}, {}),
        ({"max_age": "1h"}, {}),
        ({"max_age": "1h"}, {"finished": "2026-11-26T13:00:00+02:00"}),
        ({"max_age": "1s"}, {"finished": "2026-11-26T12:04:00Z"}),
    ],
)
def test_a_provenance_that_says_what_is_required(required: dict[str, str], changes: dict[str, str]) -> None:
    """However the address is written, and with either kind of clock."""
    check_provenance(Requirements.read(required), provenance(**changes), NOW)


@pytest.mark.parametrize(
    ("required", "changes", "cause"),
    [
        ({"source": SOURCE}, {"source": "https://git.example.com/team/other"}, OtherSource),
        ({"source": SOURCE}, {"source": "https://evil.example.com/team/app"}, OtherSource),
        ({"source": SOURCE}, {"source": "https://git.example.com.evil.example/team/app"}, OtherSource),
        ({"source": SOURCE}, {"source": "https://git.example.com@evil.example/team/app"}, OtherSource),
        ({"source": SOURCE}, {"source": "https://git.example.com:8443/team/app"}, OtherSource),
        ({"source": SOURCE}, {"source": f"{SOURCE}/x"}, OtherSource),
        ({"source": SOURCE}, {"source": "https://evil.example/x#git.example.com/team/app"}, OtherSource),
        ({"source": SOURCE}, {"source": ""}, OtherSource),
        ({"source": SOURCE}, {"revision": "a" * 40 + "-dirty"}, OtherSource),
        ({"ref": "main"}, {"ref": "feature/main"}, OtherRef),
        ({"ref": "main"}, {"ref": "refs/tags/main"}, OtherRef),
        ({"ref": "refs/heads/main"}, {"ref": "main"}, OtherRef),
        ({"ref": "main"}, {"ref": ""}, OtherRef),
        ({"ref": "main"}, {"ref": "HEAD", "source": f"{SOURCE}#main"}, OtherRef),
        ({"max_age": "59m"}, {}, TooOld),
        ({"max_age": "30d"}, {"finished": "2025-11-26T11:00:00Z"}, TooOld),
        ({"max_age": "30d"}, {"finished": "2026-11-26T13:00:00Z"}, BuildTimeUnknown),
        ({"max_age": "30d"}, {"finished": "9999-12-31T23:59:59-23:59"}, BuildTimeUnknown),
        ({"max_age": "30d"}, {"finished": "2026-11-26T11:00:00"}, BuildTimeUnknown),
        ({"max_age": "30d"}, {"finished": "yesterday"}, BuildTimeUnknown),
        ({"max_age": "30d"}, {"finished": ""}, BuildTimeUnknown),
    ],
)
def test_a_provenance_that_says_something_else(
    required: dict[str, str], changes: dict[str, str], cause: type[SlipwayError]
) -> None:
    """By just this cause, with a next action."""
    with pytest.raises(SlipwayError) as caught:
        check_provenance(Requirements.read(required), provenance(**changes), NOW)
    assert type(caught.value) is cause
    assert caught.value.action


def result(gate: str, answer: Any, finished: str = "") -> dict[str, Any]:
    return GateResult(gate, answer, failed=("CVE-1",) if answer == "FAILED" else (), finished=finished).predicate()


def test_the_newest_result_of_a_gate_counts() -> None:
    """Whatever order they come in; warnings pass; another gate's result is nothing."""
    old, new = "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"
    for older, newer in (("PASSED", "FAILED"), ("FAILED", "PASSED"), ("FAILED", "WARNED")):
        found = attested(
            TEST_RESULT, result("scan", newer, new), result("scan", older, old), result("x", "FAILED", new)
        )
        for each in (found, found[::-1]):
            if newer == "FAILED":
                with pytest.raises(GateNotPassed, match="CVE-1"):
                    gate_answer("scan", each)
            else:
                answer = gate_answer("scan", each)
                assert answer is not None
                assert answer.answer == newer
    assert gate_answer("smoke", attested(TEST_RESULT, result("scan", "PASSED"))) is None


def test_a_failure_counts_where_no_time_decides() -> None:
    """Two answers at one time, or without any."""
    with pytest.raises(GateNotPassed):
        gate_answer("scan", attested(TEST_RESULT, result("scan", "FAILED"), result("scan", "PASSED")))
    with pytest.raises(SignatureMalformed):
        gate_answer("scan", attested(TEST_RESULT, {"result": "FINE", "configuration": []}))


def test_a_rebuild_must_say_that_it_was_the_same() -> None:
    """Nothing but `true`."""
    check_rebuilt(attested(REBUILT, {"reproduced": False}, {"reproduced": True}))
    for value in (False, "true", 1, None):
        with pytest.raises(NotRebuilt):
            check_rebuilt(attested(REBUILT, {"reproduced": value}))


def test_terms_of_require() -> None:
    """A key or a word each; what is not a word is a key."""
    terms = [
        "vault:transit/release",
        "release.pem",
        "provenance",
        f"source={SOURCE}",
        "gate=scan",
        "gate=smoke",
        "max-age=30d",
    ]
    found = Requirements.of_terms(terms)
    assert found == Requirements(
        trusted_keys=["vault:transit/release", "release.pem"],
        provenance=True,
        source=SOURCE,
        gates=["scan", "smoke"],
        max_age="30d",
    )
    assert len(found.lines()) == 6
    for wrong in ("max-age=soon", "source=https://user:hunter2@git.example.com/x"):
        with pytest.raises(InvalidOption) as caught:
            Requirements.of_terms([wrong])
        assert "hunter2" not in str(caught.value)
    assert Requirements.of_terms(["ref=main", "ref=main"]).ref == "main"
    for name in ("source", "ref", "max-age"):
        with pytest.raises(InvalidOption, match=f"{name}= is required twice"):
            Requirements.of_terms([f"{name}=1d", f"{name}=2d"])


def test_a_policy_is_for_its_namespaces() -> None:
    """By pattern, in its clusters; a run inside a cluster cannot tell which one that is, so it is held to it."""
    policy = Policy(trusted_keys=[PublicKey("a key", b"x").pem], namespaces=["prod-*"], servers=["https://a:6443/"])
    assert policy.covers("https://a:6443", "prod-eu", in_cluster=False)
    assert policy.covers("https://10.0.0.1:443", "prod-eu", in_cluster=True)
    assert not policy.covers("https://b:6443", "prod-eu", in_cluster=False)
    assert not policy.covers("https://a:6443", "staging", in_cluster=False)
    assert Requirements.read(policy.request_fields()).lines() == ["signed by a key of the policy"]
    with pytest.raises(InvalidOption):
        Policy(trusted_keys=[])
