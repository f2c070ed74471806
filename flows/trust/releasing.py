"""Sign what a release has verified: each manifest by its digest, and what BuildKit stated about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prefect_slipway.flows.trust.signing import attest, sign
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.errors import SignatureMalformed
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import Signer
from prefect_slipway.infra.registry.blobs import read_blob
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import Descriptor
from prefect_slipway.infra.registry.referrers import Referrers
from prefect_slipway.infra.registry.signatures import TaggedAttachments
from prefect_slipway.infra.signing.bundle import BUNDLE
from prefect_slipway.infra.signing.gate_result import GateResult
from prefect_slipway.infra.signing.statement import TEST_RESULT, Statement

# An SBOM of a large distribution's image has a few MB.
_LIMIT = 32 << 20


async def sign_manifest(
    client: RegistryClient,
    image: ImageReference,
    stated: Iterable[Descriptor],
    signer: Signer,
    *,
    older: bool,
    bundles: bool,
) -> None:
    """Sign a manifest; what this version of the key has signed before stays as it is.

    `image`: by its digest; `stated`: blobs with in-toto statements about it, which are signed as well. `older`: in
    cosign's older format; `bundles`: as Sigstore bundles, with the statements. Raises VaultErrors, RegistryErrors,
    SignatureInvalid, and SignatureMalformed for a statement that is none.
    """

    async def bundled() -> None:
        statements = [Statement.signature_of(image)]
        for layer in stated:
            statements.append(_about(image, await read_blob(client, image.repository, layer, min(_LIMIT, layer.size))))
        await attest(image, statements, signer, Referrers(client, image.repository, BUNDLE))

    # Each format has a list of its own, and waits until nobody else can be writing it.
    await run_concurrently(
        *([sign(image, signer, TaggedAttachments(client, image.repository))] if older else []),
        *([bundled()] if bundles else []),
    )


async def attest_gates(
    client: RegistryClient, image: ImageReference, results: Sequence[GateResult], signer: Signer
) -> None:
    """Attach what the gates answered about an image (by its digest); the same answer is attached once, whenever it was
    given. Raises VaultErrors, RegistryErrors, SignatureInvalid."""
    if results:
        statements = [Statement.about(image, TEST_RESULT, result.predicate()) for result in results]
        await attest(image, statements, signer, Referrers(client, image.repository, BUNDLE), same=_same_answer)


def _same_answer(attached: Statement, statement: Statement) -> bool:
    try:
        return GateResult.read(attached.predicate).says_the_same(GateResult.read(statement.predicate))
    except SignatureMalformed:
        return False


def _about(image: ImageReference, raw: bytes) -> Statement:
    """What was stated about the same digest, under the image's name: BuildKit names the place it pushed to."""
    statement = Statement.parse(raw)
    if not any(subject.has(str(image.digest)) for subject in statement.subjects):
        raise SignatureMalformed(f"an attestation beside {image} is about another image")
    return Statement.about(image, statement.predicate_type, statement.predicate)
