"""A registry, or whoever can push to it, serves signatures as it likes: each trick is refused by name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from prefect_slipway.flows.trust.attached import MAX_READ
from prefect_slipway.flows.trust.signing import attest, sign
from prefect_slipway.flows.trust.verifying import verify_attested, verify_signed
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.errors import (
    AnswerTooLarge,
    DigestMismatch,
    ManifestUnknown,
    NotAttested,
    NotSigned,
    OtherImageSigned,
    OtherPredicateType,
    OtherRepositorySigned,
    RegistryProtocolError,
    RegistryUnavailable,
    SignatureMalformed,
    UntrustedKey,
)
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import Attachment
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.model import Manifest
from prefect_slipway.infra.signing.bundle import BUNDLE, PREDICATE_ANNOTATION
from prefect_slipway.infra.signing.keys import TrustedKeys
from prefect_slipway.infra.signing.simple import SIMPLE_SIGNING
from prefect_slipway.infra.signing.statement import PROVENANCE, SPDX, Statement
from tests.contract.signing.conftest import Stores
from tests.faults import Front, front
from tests.images import Pusher
from tests.signers import LocalSigner

SIGNER = LocalSigner()
TRUSTED = TrustedKeys([SIGNER.key])


@dataclass(frozen=True)
class Victim:
    """An image that is signed and attested to, in a registry behind a front; `other`: another image beside it."""

    image: ImageReference
    other: ImageReference
    stores: Stores
    front: Front

    async def signed(self, image: ImageReference | None = None) -> object:
        return await verify_signed(
            image or self.image, TRUSTED, tagged=self.stores.tagged, referrers=self.stores.referrers
        )

    async def attested(self, predicate_type: str = PROVENANCE, image: ImageReference | None = None) -> object:
        return await verify_attested(image or self.image, predicate_type, TRUSTED, referrers=self.stores.referrers)


@pytest.fixture
async def victim(image: ImageReference, registry: str) -> AsyncIterator[Victim]:
    with Pusher(registry, image.repository, None) as pusher:
        other = image.with_digest(pusher.image("2.0.0", layers=[b"another"])["digest"])
    with front(registry) as fronted:
        async with RegistryClient(fronted.host, Anonymous(), insecure=True, ca_file=None) as client:
            stores = Stores(client, image.repository)
            await sign(image, SIGNER, stores.tagged)
            await attest(image, [Statement.about(image, PROVENANCE, {"a": 1})], SIGNER, stores.referrers)
            yield Victim(image, other, stores, fronted)


def tag_of(image: ImageReference, suffix: str = "") -> str:
    return str(image.digest).replace(":", "-") + suffix


async def test_the_victim_is_signed(victim: Victim) -> None:
    """Else the tests below would prove nothing."""
    await victim.signed()
    await victim.attested()


@pytest.mark.parametrize("suffix", [".sig", ""])
async def test_another_images_signatures_are_listed(victim: Victim, suffix: str) -> None:
    """The tag of the signed image's signatures is copied to the unsigned image's."""
    client, repository = victim.stores.client, victim.image.repository
    manifest = await client.manifest(repository, tag_of(victim.image, suffix))
    await client.put_tag(repository, tag_of(victim.other, suffix), manifest)
    with pytest.raises(OtherImageSigned, match=str(victim.other.digest)):
        await (victim.signed if suffix else lambda image: victim.attested(image=image))(victim.other)


async def test_the_image_is_served_from_another_repository(victim: Victim, registry: str) -> None:
    """The same digest with its signatures, copied to where it was never released."""
    elsewhere = replace(victim.image, repository=f"{victim.image.repository}-copied")
    with pytest.raises(OtherRepositorySigned, match=victim.image.name):
        await victim.signed(elsewhere)
    with pytest.raises(OtherRepositorySigned, match=victim.image.name):
        await victim.attested(image=elsewhere)


async def test_the_list_lies_about_the_predicate(victim: Victim) -> None:
    """An attestation of one type, listed as one of another."""
    (attached,) = await victim.stores.referrers.attached(str(victim.image.digest))
    content = await victim.stores.referrers.content(attached)
    lie = Attachment(BUNDLE, content, {PREDICATE_ANNOTATION: SPDX})
    await victim.stores.referrers.add(str(victim.image.digest), [lie])
    with pytest.raises(OtherPredicateType, match=PROVENANCE):
        await victim.attested(SPDX)
    await victim.attested()


async def test_the_list_says_nothing_of_the_predicate(victim: Victim) -> None:
    """Then what is signed decides."""
    (attached,) = await victim.stores.referrers.attached(str(victim.image.digest))
    content = await victim.stores.referrers.content(attached)
    await victim.stores.referrers.add(str(victim.other.digest), [Attachment(BUNDLE, content, {"silent": "yes"})])
    with pytest.raises(OtherImageSigned):
        await victim.attested(image=victim.other)


async def test_everything_is_hidden(victim: Victim) -> None:
    """What is not served is not there."""
    victim.front.spoil("GET", "/manifests/sha256-", 404)
    with pytest.raises(NotSigned):
        await victim.signed()
    with pytest.raises(NotAttested):
        await victim.attested()


async def test_trouble_is_not_taken_for_nothing(victim: Victim) -> None:
    """A registry that fails has not said that there is no signature: it is asked again later."""
    victim.front.spoil("GET", "/manifests/sha256-", 500)
    for call in (victim.signed(), victim.attested()):
        with pytest.raises(RegistryUnavailable):
            await call


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (200, b"", DigestMismatch),
        (200, b'{"critical":', DigestMismatch),
        (200, b"x" * 100_000, AnswerTooLarge),
        (404, b'{"errors": [{"code": "BLOB_UNKNOWN"}]}', ManifestUnknown),
        (404, b"<html>", RegistryProtocolError),
    ],
)
async def test_a_signatures_bytes_are_not_served(victim: Victim, status: int, body: bytes, cause: type) -> None:
    """Cut, exchanged, endless or gone: the cause is what happened on the way."""
    victim.front.spoil("GET", "/blobs/", status, body=body)
    with pytest.raises(cause):
        await victim.signed()


async def test_an_ordinary_image_lies_under_the_signatures_tag(victim: Victim) -> None:
    """Its layers are no signatures."""
    client, repository = victim.stores.client, victim.image.repository
    await client.put_tag(repository, tag_of(victim.other, ".sig"), await client.manifest(repository, "1.0.0"))
    with pytest.raises(SignatureMalformed):
        await victim.signed(victim.other)


async def test_junk_does_not_hide_a_signature(victim: Victim) -> None:
    """Strangers' signatures, cut bundles, junk: whoever may push can add them; what holds is found all the same."""
    stranger = LocalSigner()
    await sign(victim.image, stranger, victim.stores.tagged)
    await attest(victim.image, [Statement.about(victim.image, PROVENANCE, {})], stranger, victim.stores.referrers)
    digest = str(victim.image.digest)
    await victim.stores.tagged.add(
        digest,
        [
            Attachment(SIMPLE_SIGNING, b"{}"),
            Attachment(SIMPLE_SIGNING, b"x" * 100_000),
            Attachment("text/plain", b"junk"),
        ],
    )
    annotations = {PREDICATE_ANNOTATION: PROVENANCE}
    await victim.stores.referrers.add(
        digest, [Attachment(BUNDLE, b"{", annotations), Attachment(BUNDLE, b"", annotations)]
    )
    await victim.signed()
    await victim.attested()


async def test_of_several_refusals_the_one_that_came_furthest_is_told(victim: Victim) -> None:
    """And the others below it: a stranger's signature matters less than a trusted one that was replayed."""
    await sign(victim.other, LocalSigner(), victim.stores.tagged)
    with pytest.raises(UntrustedKey):
        await victim.signed(victim.other)
    (replayed, *_) = await victim.stores.tagged.attached(str(victim.image.digest))
    content = await victim.stores.tagged.content(replayed)
    again = Attachment(SIMPLE_SIGNING, content, replayed.annotations)
    await victim.stores.tagged.add(str(victim.other.digest), [again, Attachment(SIMPLE_SIGNING, b"junk")])
    with pytest.raises(OtherImageSigned) as caught:
        await victim.signed(victim.other)
    assert "UntrustedKey: " in caught.value.details
    assert "SignatureMalformed: " in caught.value.details


async def test_a_flood_is_read_in_part(victim: Victim) -> None:
    """Of very many signatures the last ones are read: a verification ends."""
    await victim.stores.tagged.add(str(victim.other.digest), [Attachment(SIMPLE_SIGNING, b"{}")])
    client, repository = victim.stores.client, victim.image.repository
    manifest = await client.manifest(repository, tag_of(victim.other, ".sig"))
    document = {**manifest.document, "layers": manifest.document["layers"] * (MAX_READ + 50)}
    raw = json.dumps(document).encode()
    await client.put_tag(repository, tag_of(victim.other, ".sig"), Manifest.parse(raw, manifest.media_type))
    before = len(victim.front.seen)
    with pytest.raises(SignatureMalformed):
        await victim.signed(victim.other)
    assert len(victim.front.seen) - before < MAX_READ + 20
