"""What `slipway verify` requires beside a signature: about an image and its platforms, in a real registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_slipway.flows.request.requirements import Requirements
from prefect_slipway.flows.trust.checked import Verified, verify_image
from prefect_slipway.flows.trust.signing import attest, sign
from prefect_slipway.infra.domain.errors import (
    BuildTimeUnknown,
    GateNotPassed,
    NotAttested,
    NotRebuilt,
    NotSigned,
    OtherRef,
    OtherSource,
    SignatureMalformed,
    SlipwayError,
    TooOld,
    UntrustedKey,
)
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.signing.gate_result import GateResult
from prefect_slipway.infra.signing.keys import TrustedKeys
from prefect_slipway.infra.signing.statement import CYCLONEDX, PROVENANCE, REBUILT, SPDX, TEST_RESULT, Statement
from tests.contract.signing.conftest import Stores
from tests.images import Pusher
from tests.signers import LocalSigner

SOURCE = "https://git.example.com/team/app"
OLDER = "https://slsa.dev/provenance/v0.2"
_METADATA = "https://mobyproject.org/buildkit@v1#metadata"

Said = tuple[str, Mapping[str, Any]]


def built(*, source: str = SOURCE, ref: str = "main", age: timedelta = timedelta(hours=1), dirty: bool = False) -> Said:
    """As BuildKit writes it for a release."""
    finished = (datetime.now(UTC) - age).isoformat()
    vcs = {"source": source, "revision": "a" * 40 + "-dirty" * dirty}
    return PROVENANCE, {
        "buildDefinition": {"externalParameters": {"request": {"args": {"slipway:ref": ref}}}},
        "runDetails": {"metadata": {"finishedOn": finished, "buildkit_metadata": {"vcs": vcs}}},
    }


def built_older(source: str = SOURCE, ref: str = "main") -> Said:
    """The same in SLSA v0.2."""
    return OLDER, {
        "invocation": {"parameters": {"args": {"slipway:ref": ref}}},
        "metadata": {
            "buildFinishedOn": datetime.now(UTC).isoformat(),
            _METADATA: {"vcs": {"source": source, "revision": "a" * 40}},
        },
    }


def answered(gate: str, answer: Any = "PASSED", finished: str = "") -> Said:
    return TEST_RESULT, GateResult(gate, answer, finished=finished).predicate()


REPRODUCED: Said = (REBUILT, {"reproduced": True})
UNDATED: Said = (PROVENANCE, {"runDetails": {"metadata": {"buildkit_metadata": {"vcs": {"source": SOURCE}}}}})


@dataclass(frozen=True)
class Set:
    """An index of two images, each signed, with one repository's stores."""

    index: ImageReference
    amd64: ImageReference
    arm64: ImageReference
    stores: Stores
    signer: LocalSigner

    async def state(self, image: ImageReference, *said: Said, signer: LocalSigner | None = None) -> None:
        statements = [Statement.about(image, kind, predicate) for kind, predicate in said]
        await attest(image, statements, signer or self.signer, self.stores.referrers)

    async def state_each(self, *said: Said, signer: LocalSigner | None = None) -> None:
        for image in (self.amd64, self.arm64):
            await self.state(image, *said, signer=signer)

    async def verify(self, **required: Any) -> Verified:
        trusted = TrustedKeys([self.signer.key])
        return await verify_image(self.stores.client, self.index, trusted, Requirements.read(required))


@pytest.fixture
async def released(image: ImageReference, stores: Stores) -> Set:
    with Pusher(image.registry, image.repository, None) as pusher:
        amd64, arm64 = pusher.image(layers=[b"amd64"]), pusher.image(layers=[b"arm64"])
        index = pusher.index("2.0.0", children=[(amd64, "linux/amd64"), (arm64, "linux/arm64")])
    signer = LocalSigner()
    whole, *parts = (image.with_digest(each["digest"]) for each in (index, amd64, arm64))
    for each in (whole, *parts):
        await sign(each, signer, stores.tagged)
    return Set(whole, parts[0], parts[1], stores, signer)


async def test_all_that_is_required_is_there(released: Set) -> None:
    """Provenance and SBOM of each platform, a gate's result of the index or of each platform, a rebuild of each."""
    await released.state_each(built(), (SPDX, {}), answered("smoke"), REPRODUCED)
    await released.state(released.index, answered("scan", "WARNED"))
    found = await released.verify(
        source=f"{SOURCE}.git",
        ref="main",
        provenance=True,
        sbom=True,
        gates=["scan", "smoke"],
        max_age="2h",
        rebuilt=True,
    )
    assert found.gates == {"scan": "WARNED", "smoke": "PASSED"}
    assert (found.source, found.ref, found.revision, found.rebuilt) == (SOURCE, "main", "a" * 40, True)
    assert found.attestations == ("SLSA provenance v1", "SPDX SBOM")
    assert found.lines()


@pytest.mark.parametrize("about", ["each", "index"])
async def test_either_version_of_provenance_and_either_place(released: Set, about: str) -> None:
    """SLSA v0.2, and an attestation about the index, as others attach it."""
    if about == "each":
        await released.state_each(built_older(), (CYCLONEDX, {}))
    else:
        await released.state(released.index, built_older(), (CYCLONEDX, {}))
    assert (await released.verify(source=SOURCE, ref="main", sbom=True, max_age="1h")).source == SOURCE


async def test_one_provenance_must_say_all_of_it(released: Set) -> None:
    """Not the source of one and the ref of another; but one of several is enough."""
    await released.state_each(built(ref="other"), built(source="https://git.example.com/fork"))
    with pytest.raises((OtherRef, OtherSource)):
        await released.verify(source=SOURCE, ref="main")
    await released.state_each(built())
    await released.verify(source=SOURCE, ref="main")


REFUSED: dict[str, tuple[list[Said], dict[str, Any], type[SlipwayError]]] = {
    "no provenance": ([], {"provenance": True}, NotAttested),
    "no provenance for a source": ([], {"source": SOURCE}, NotAttested),
    "no provenance for an age": ([(SPDX, {})], {"max_age": "1h"}, NotAttested),
    "no SBOM": ([built()], {"sbom": True}, NotAttested),
    "another source": ([built(source="https://git.example.com/team/other")], {"source": SOURCE}, OtherSource),
    "another source, older format": ([built_older("https://evil.example/app")], {"source": SOURCE}, OtherSource),
    "a source with changes": ([built(dirty=True)], {"source": SOURCE}, OtherSource),
    "no source": ([(PROVENANCE, {})], {"source": SOURCE}, OtherSource),
    "another ref": ([built(ref="feature")], {"ref": "main"}, OtherRef),
    "another ref, older format": ([built_older(ref="feature")], {"ref": "main"}, OtherRef),
    "no ref": ([built(ref="")], {"ref": "main"}, OtherRef),
    "too old": ([built(age=timedelta(days=31))], {"max_age": "30d"}, TooOld),
    "built in the future": ([built(age=timedelta(days=-1))], {"max_age": "30d"}, BuildTimeUnknown),
    "built at an unknown time": ([UNDATED], {"max_age": "30d"}, BuildTimeUnknown),
    "no result of any gate": ([built()], {"gates": ["scan"]}, NotAttested),
    "a result of another gate": ([answered("smoke")], {"gates": ["scan"]}, NotAttested),
    "a failed gate": ([answered("scan", "FAILED")], {"gates": ["scan"]}, GateNotPassed),
    "a gate that failed later": (
        [
            answered("scan", finished="2026-01-01T00:00:00Z"),
            answered("scan", "FAILED", "2026-01-02T00:00:00Z"),
        ],
        {"gates": ["scan"]},
        GateNotPassed,
    ),
    "one of two gates": ([answered("scan")], {"gates": ["scan", "smoke"]}, NotAttested),
    "a result of no known answer": (
        [(TEST_RESULT, {"result": "OK", "configuration": [{"name": "scan"}]})],
        {"gates": ["scan"]},
        SignatureMalformed,
    ),
    "no rebuild": ([built()], {"rebuilt": True}, NotRebuilt),
    "a rebuild with another digest": ([(REBUILT, {"reproduced": False})], {"rebuilt": True}, NotRebuilt),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_missing_is_refused_by_name(released: Set, name: str) -> None:
    """Whether it is about the platforms or the index; with a next action. What a stranger states counts for nothing."""
    said, required, cause = REFUSED[name]
    stranger = LocalSigner()
    await released.state_each(*said)
    with pytest.raises(SlipwayError) as caught:
        await released.verify(**required)
    assert type(caught.value) is cause
    assert caught.value.action
    good: tuple[Said, ...] = (
        built(),
        (SPDX, {}),
        answered("scan", finished="2027-01-01T00:00:00Z"),
        answered("smoke"),
        REPRODUCED,
    )
    await released.state(released.index, *good, signer=stranger)
    await released.state_each(*good, signer=stranger)
    with pytest.raises(SlipwayError) as caught:
        await released.verify(**required)
    assert type(caught.value) in {cause, UntrustedKey}


async def test_one_platform_is_not_enough(released: Set) -> None:
    """Each has its own provenance, result and rebuild."""
    await released.state(released.amd64, built(), answered("scan"), REPRODUCED)
    for required, cause in (
        ({"provenance": True}, NotAttested),
        ({"gates": ["scan"]}, NotAttested),
        ({"rebuilt": True}, NotRebuilt),
    ):
        with pytest.raises(cause):
            await released.verify(**required)
    await released.state(released.arm64, built(source="https://evil.example/x"), answered("scan", "FAILED"))
    with pytest.raises(OtherSource):
        await released.verify(source=SOURCE)
    with pytest.raises(GateNotPassed):
        await released.verify(gates=["scan"])


async def test_a_failure_of_the_index_counts(released: Set) -> None:
    """Though the gate passed on each platform."""
    await released.state_each(answered("scan"))
    await released.verify(gates=["scan"])
    await released.state(released.index, answered("scan", "FAILED"))
    with pytest.raises(GateNotPassed):
        await released.verify(gates=["scan"])


async def test_a_strangers_statement_about_the_index_changes_nothing(released: Set) -> None:
    """Anyone who may push can add one."""
    await released.state_each(built(), answered("scan"))
    forged = (built(source="https://evil.example/x"), answered("scan", "FAILED"))
    await released.state(released.index, *forged, signer=LocalSigner())
    await released.verify(source=SOURCE, gates=["scan"])


async def test_a_swapped_platform_is_refused(released: Set) -> None:
    """An index that is signed by nobody, though all of its images are."""
    with Pusher(released.index.registry, released.index.repository, None) as pusher:
        swapped = pusher.index("2.0.0", children=[(pusher.image(layers=[b"arm64"]), "linux/amd64")])
    trusted = TrustedKeys([released.signer.key])
    with pytest.raises(NotSigned):
        tagged = released.index.with_tag("2.0.0")
        await verify_image(released.stores.client, tagged, trusted, Requirements())
    assert swapped["digest"] != released.index.digest
