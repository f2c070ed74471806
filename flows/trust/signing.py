"""Sign an image and attest to it; repeating it writes nothing.

The order matters to who calls: first all signatures and attestations, then the tag.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from prefect_slipway.flows.trust.attached import read
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import Attached, Attachment, Attachments, Signer
from prefect_slipway.infra.signing.bundle import PREDICATE_ANNOTATION, bundle_attachment
from prefect_slipway.infra.signing.dsse import Envelope, pae
from prefect_slipway.infra.signing.keys import TrustedKeys
from prefect_slipway.infra.signing.simple import SimplePayload, signature_attachment
from prefect_slipway.infra.signing.statement import IN_TOTO, Statement
from prefect_slipway.infra.signing.verification import Attestation, Signature, verify_bundle, verify_signature


async def sign(image: ImageReference, signer: Signer, store: Attachments) -> bool:
    """Sign an image in cosign's older format. `image`: by its digest; `store`: where such signatures are kept.

    False if this version of the key has signed it before. Raises VaultErrors, RegistryErrors and SignatureInvalid
    (what the signer gave does not hold).
    """
    assert image.digest is not None
    key = await signer.public_key()
    trusted = TrustedKeys([key])
    payload = SimplePayload(image.name, image.digest).encode()
    digest = f"sha256:{hashlib.sha256(payload).hexdigest()}"
    same = [each for each in await store.attached(image.digest) if each.digest == digest]

    def verify(content: bytes, attached: Attached) -> Signature:
        return verify_signature(content, attached.annotations, image, trusted)

    if (await read(same, store, verify)).accepted:
        return False
    signature = await signer.sign(payload)
    trusted.verify(payload, signature, hint=key.hint)
    await store.add(image.digest, [signature_attachment(payload, signature)])
    return True


async def attest(
    image: ImageReference,
    statements: Sequence[Statement],
    signer: Signer,
    store: Attachments,
    *,
    created: str | None = None,
    same: Callable[[Statement, Statement], bool] | None = None,
) -> int:
    """Sign statements about an image and attach them as bundles; returns the number of new ones.

    `image`: by its digest. `created`: an RFC 3339 time that the registry's list shows, None for none. `same`: whether a
    statement that is attached makes another one needless; None: only if its bytes are equal. A signature in the newer
    format is `Statement.signature_of(image)`. Raises as `sign` does.
    """
    assert image.digest is not None
    key = await signer.public_key()
    trusted = TrustedKeys([key])
    listed = await store.attached(image.digest)

    async def missing(statement: Statement) -> Attachment | None:
        payload, kind = statement.encode(), statement.predicate_type
        candidates = [each for each in listed if each.annotations.get(PREDICATE_ANNOTATION) == kind]

        def verify(content: bytes, attached: Attached) -> Attestation:
            return verify_bundle(content, image, kind, trusted)

        for each in (await read(candidates, store, verify)).accepted:
            if each.payload == payload or (same is not None and same(each.statement, statement)):
                return None
        message = pae(IN_TOTO, payload)
        signature = await signer.sign(message)
        trusted.verify(message, signature, hint=key.hint)
        return bundle_attachment(Envelope(IN_TOTO, payload, (signature,)), key, kind, created=created)

    added = [each for each in await run_concurrently(*map(missing, statements)) if each is not None]
    if added:
        await store.add(image.digest, added)
    return len(added)
