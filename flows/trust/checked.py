"""Verify a released image: its index and each platform, and what else is required."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, TypeVar

from prefect_slipway.flows.request.requirements import Requirements
from prefect_slipway.flows.trust.stated import check_provenance, check_rebuilt, gate_answer
from prefect_slipway.flows.trust.verifying import verify_attested, verify_signed
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import GateNotPassed, NotAttested, NotRebuilt, TrustError
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.predicates import SLSA, predicate_name
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import Verifier
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.images import platform_images
from prefect_slipway.infra.registry.referrers import Referrers
from prefect_slipway.infra.registry.signatures import TaggedAttachments
from prefect_slipway.infra.signing import statement
from prefect_slipway.infra.signing.bundle import BUNDLE, MAX_BUNDLE_BYTES
from prefect_slipway.infra.signing.gate_result import GateResult
from prefect_slipway.infra.signing.provenance import Provenance, provenance_of
from prefect_slipway.infra.signing.statement import TEST_RESULT
from prefect_slipway.infra.signing.verification import Attestation

T = TypeVar("T")


class _Kind(NamedTuple):
    """Statements of one sort: `name` for people, `types` of their predicates."""

    name: str
    types: tuple[str, ...]


_PROVENANCE = _Kind("SLSA provenance", (statement.PROVENANCE, f"{SLSA}v0.2"))
_SBOM = _Kind("SBOM", (statement.SPDX, statement.CYCLONEDX))
_RESULT = _Kind("test result", (TEST_RESULT,))
_REBUILD = _Kind("rebuild", (statement.REBUILT,))


@dataclass(frozen=True, slots=True)
class Verified:
    """`keys`: those that signed the image. `platforms`: digests, each signed as well. `attestations`: the types that
    were required, as each platform has them. `source`, `ref`, `revision`, `built` (when the build finished): of the
    provenance, "" where none was required. `gates`: the answer of each that was required, PASSED or WARNED."""

    image: str
    digest: str
    keys: tuple[str, ...]
    platforms: dict[str, str]
    attestations: tuple[str, ...] = ()
    source: str = ""
    ref: str = ""
    revision: str = ""
    built: str = ""
    gates: dict[str, str] = field(default_factory=dict)
    rebuilt: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"verified": True, **asdict(self)}

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.image}@{self.digest}", *(f"  signed by {key}" for key in self.keys)]
        lines += [f"  {platform or 'image'} {digest}, signed" for platform, digest in self.platforms.items()]
        lines += [f"  {each}, signed" for each in self.attestations]
        stated = (("source", self.source), ("ref", self.ref), ("revision", self.revision), ("built", self.built))
        lines += [f"  {label} {one_line(text)}" for label, text in stated if text]
        warned = {"WARNED": " with warnings"}
        lines += [f"  gate {gate}: passed{warned.get(answer, '')}" for gate, answer in self.gates.items()]
        return lines + ["  rebuilt to the same digest"] * self.rebuilt


async def verify_image(
    client: RegistryClient, image: ImageReference, verifier: Verifier, required: Requirements
) -> Verified:
    """Verify the image, each of its platforms, and what else is `required` (its keys are those of `verifier`).

    An attestation may be about the index, or about each platform. Raises NotSigned, NotAttested, and what was wrong
    with the signature that came furthest (UntrustedKey, OtherRepositorySigned, SignatureInvalid and the like);
    OtherSource, OtherRef, TooOld, BuildTimeUnknown, GateNotPassed, NotRebuilt; RegistryErrors.
    """
    manifest = await client.manifest(image.repository, str(image.digest or image.tag))
    whole = image.with_digest(manifest.digest)
    platforms = await platform_images(client, image.repository, manifest)
    parts = [image.with_digest(each.manifest.digest) for each in platforms]
    keys = await _signed(client, whole, verifier)
    await run_concurrently(*(_signed(client, part, verifier) for part in parts if part != whole))
    stated = _Stated(client, verifier, whole, parts)

    types: dict[str, None] = {}
    provenance = Provenance()
    if required.of_provenance:

        def provenance_holds(found: Sequence[Attestation]) -> tuple[str, Provenance]:
            return _any(found, lambda each: check_provenance(required, provenance_of(each.statement.predicate)))

        found = await stated.each(_PROVENANCE, provenance_holds)
        types |= {kind: None for kind, _ in found}
        provenance = found[0][1]
    if required.sbom:
        for attested, *_ in await stated.each(_SBOM, lambda found: found):
            types[attested.statement.predicate_type] = None
    gates = {name: await stated.gate(name) for name in required.gates}
    if required.rebuilt:
        try:
            await stated.each(_REBUILD, check_rebuilt)
        except NotAttested as error:
            raise NotRebuilt(f"{whole} has no signed statement that it was rebuilt to the same digest") from error
    return Verified(
        image=image.name,
        digest=manifest.digest,
        keys=keys,
        platforms={each.platform: each.manifest.digest for each in platforms},
        attestations=tuple(map(predicate_name, types)),
        source=provenance.source,
        ref=provenance.ref,
        revision=provenance.revision,
        built=provenance.finished,
        gates={name: result.answer for name, result in gates.items()},
        rebuilt=required.rebuilt,
    )


class _Stated:
    """What is stated about an image: about `whole`, or about each of `parts`."""

    def __init__(
        self, client: RegistryClient, verifier: Verifier, whole: ImageReference, parts: Sequence[ImageReference]
    ) -> None:
        self._client = client
        self._verifier = verifier
        self._whole = whole
        self._parts = parts

    async def each(self, kind: _Kind, hold: Callable[[Sequence[Attestation]], T]) -> list[T]:
        """What `hold` makes of the attestations about the image, else about each platform. Raises what it raises, and
        as `verify_attested`."""
        try:
            return [hold(await self._about(self._whole, kind))]
        except TrustError as error:
            refused = error
        if list(self._parts) == [self._whole]:
            raise refused
        try:
            return [hold(found) for found in await run_concurrently(*(self._about(part, kind) for part in self._parts))]
        except NotAttested as error:
            # What is wrong with the attestation that is there says more.
            raise (error if isinstance(refused, NotAttested) else refused) from refused

    async def gate(self, name: str) -> GateResult:
        """A failure that is stated about the image counts, whatever is stated about its platforms."""

        def answer(found: Sequence[Attestation]) -> GateResult:
            if (result := gate_answer(name, found)) is None:
                raise NotAttested(f"{self._whole} has no signed result of the gate {name!r}")
            return result

        try:
            return answer(await self._about(self._whole, _RESULT))
        except GateNotPassed:
            raise
        except TrustError:
            return (await self.each(_RESULT, answer))[0]

    async def _about(self, image: ImageReference, kind: _Kind) -> list[Attestation]:
        """Those of any of the types, never none. Raises as `verify_attested`."""
        found: list[Attestation] = []
        refused: TrustError = NotAttested(f"{image} has no signed {kind.name}")
        for predicate in kind.types:
            try:
                found += await verify_attested(
                    image,
                    predicate,
                    self._verifier,
                    referrers=Referrers(self._client, image.repository, BUNDLE),
                    envelopes=TaggedAttachments(self._client, image.repository, suffix=".att", limit=MAX_BUNDLE_BYTES),
                )
            except NotAttested:
                continue
            except TrustError as error:
                refused = error
        if not found:
            raise refused
        return found


def _any(found: Sequence[Attestation], check: Callable[[Attestation], None]) -> tuple[str, Provenance]:
    """The first that holds: its type, and what it says. Raises what is wrong with the last one."""
    refused: TrustError | None = None
    for each in found:
        try:
            check(each)
        except TrustError as error:
            refused = error
        else:
            return each.statement.predicate_type, provenance_of(each.statement.predicate)
    assert refused is not None, "there is one"
    raise refused


async def _signed(client: RegistryClient, image: ImageReference, verifier: Verifier) -> tuple[str, ...]:
    found = await verify_signed(
        image,
        verifier,
        tagged=TaggedAttachments(client, image.repository),
        referrers=Referrers(client, image.repository, BUNDLE),
    )
    return tuple(dict.fromkeys(str(each.key) for each in found))
