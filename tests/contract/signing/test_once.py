"""The same signature or attestation again writes nothing; another key, another version, other words do."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from prefect_slipway.flows.trust.signing import attest, sign
from prefect_slipway.flows.trust.verifying import verify_attested, verify_signed
from prefect_slipway.infra.domain.credentials import Anonymous
from prefect_slipway.infra.domain.errors import NotAttested, NotSigned, SignatureInvalid, UntrustedKey
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.signing.keys import TrustedKeys
from prefect_slipway.infra.signing.statement import PROVENANCE, SIGNED, TEST_RESULT, Statement
from prefect_slipway.infra.signing.verification import Attestation, Signature
from prefect_slipway.infra.vault.session import VaultSession
from prefect_slipway.infra.vault.transit import TransitKey, TransitPath
from tests.contract.signing.conftest import Stores
from tests.faults import front
from tests.images import Pusher
from tests.servers import VaultServer
from tests.signers import LocalSigner


def statements(image: ImageReference, result: str = "PASSED") -> list[Statement]:
    return [
        Statement.signature_of(image),
        Statement.about(image, PROVENANCE, {"a": 1, "b": [2, {"c": None}]}),
        Statement.about(image, TEST_RESULT, {"result": result}),
    ]


async def test_the_same_release_again_signs_and_writes_nothing(image: ImageReference, registry: str) -> None:
    """Neither is the key asked, nor anything sent to the registry."""
    signer = LocalSigner()
    with front(registry) as fronted:
        async with RegistryClient(fronted.host, Anonymous(), insecure=True, ca_file=None) as client:
            stores = Stores(client, image.repository)
            assert await sign(image, signer, stores.tagged)
            assert await attest(image, statements(image), signer, stores.referrers) == 3
            signed, sent = signer.signed, len(fronted.seen)
            assert not await sign(image, signer, stores.tagged)
            assert await attest(image, statements(image), signer, stores.referrers) == 0
            assert signer.signed == signed == 4
            assert {each.method for each in fronted.seen[sent:]} == {"GET"}


async def test_the_same_release_elsewhere_in_time_is_the_same(image: ImageReference, stores: Stores) -> None:
    """Another process has other objects: what is signed and what is compared are bytes."""
    signer = LocalSigner()
    await attest(image, statements(image), signer, stores.referrers, created="2026-01-02T03:04:05Z")
    reread = [Statement.parse(statement.encode()) for statement in statements(image)]
    assert await attest(image, reread, signer, stores.referrers, created="2027-01-02T03:04:05Z") == 0


async def test_other_words_of_the_same_type_are_added(image: ImageReference, stores: Stores) -> None:
    """Of two results the first is not lost."""
    signer = LocalSigner()
    await attest(image, statements(image, "FAILED"), signer, stores.referrers)
    assert await attest(image, statements(image, "PASSED"), signer, stores.referrers) == 1
    found = await verify_attested(image, TEST_RESULT, TrustedKeys([signer.key]), referrers=stores.referrers)
    assert [each.statement.predicate["result"] for each in found] == ["FAILED", "PASSED"]


async def test_a_new_version_of_the_key_signs_again_and_the_old_signatures_stay(
    image: ImageReference, stores: Stores, session: VaultSession, vault: VaultServer
) -> None:
    """Digest and version of the key decide; with the old version revoked only the new signature holds."""
    path = TransitPath("transit", f"rotated-{image.repository.rpartition('-')[2]}")
    vault.root.call("POST", f"transit/keys/{path.key}", {"type": "ecdsa-p256"})
    for version in (1, 2):
        key = TransitKey(session, path)
        assert await sign(image, key, stores.tagged)
        assert await attest(image, [Statement.signature_of(image)], key, stores.referrers) == 1
        assert not await sign(image, TransitKey(session, path), stores.tagged)
        trusted = TrustedKeys(await key.public_keys())
        found = await verify_signed(image, trusted, tagged=stores.tagged, referrers=stores.referrers)
        assert sorted(each.key.version or 0 for each in found) == sorted([*range(1, version + 1)] * 2)
        vault.root.call("POST", f"transit/keys/{path.key}/rotate", {})
    vault.root.call("POST", f"transit/keys/{path.key}/config", {"min_decryption_version": 2})
    trusted = TrustedKeys(await TransitKey(session, path).public_keys())
    found = await verify_signed(image, trusted, tagged=stores.tagged, referrers=stores.referrers)
    assert [each.key.version for each in found] == [2, 2]


async def test_several_keys_sign_one_image(image: ImageReference, stores: Stores) -> None:
    """At one moment: a team's key and the security people's; each is verified on its own."""
    signers = [LocalSigner("ed25519"), LocalSigner("ecdsa-p384"), LocalSigner("rsa-2048")]
    await asyncio.gather(
        *(sign(image, signer, stores.tagged) for signer in signers),
        *(attest(image, statements(image), signer, stores.referrers) for signer in signers),
    )
    for signer in signers:
        trusted = TrustedKeys([signer.key])
        found = await verify_signed(image, trusted, tagged=stores.tagged, referrers=stores.referrers)
        assert [type(each) for each in found] == [Signature, Attestation]
        assert await verify_attested(image, PROVENANCE, trusted, referrers=stores.referrers)


async def test_an_index_and_its_images_are_signed_each(stores: Stores, image: ImageReference) -> None:
    """A signature of the index does not stand for its images, nor the other way round."""
    with Pusher(image.registry, image.repository, None) as pusher:
        amd64, arm64 = pusher.image(layers=[b"amd64"]), pusher.image(layers=[b"arm64"])
        index = pusher.index("2.0.0", children=[(amd64, "linux/amd64"), (arm64, "linux/arm64")])
    signer = LocalSigner()
    trusted = TrustedKeys([signer.key])
    for signed in (index, amd64):
        assert await sign(image.with_digest(signed["digest"]), signer, stores.tagged)
        await verify_signed(
            image.with_digest(signed["digest"]), trusted, tagged=stores.tagged, referrers=stores.referrers
        )
    with pytest.raises(NotSigned, match=arm64["digest"]):
        await verify_signed(
            image.with_digest(arm64["digest"]), trusted, tagged=stores.tagged, referrers=stores.referrers
        )


async def test_either_format_alone_is_a_signature(image: ImageReference, stores: Stores) -> None:
    """The older one, or the newer one; an attestation of another type is not."""
    old, new, attester = LocalSigner(), LocalSigner(), LocalSigner()
    await sign(image, old, stores.tagged)
    await attest(image, [Statement.signature_of(image)], new, stores.referrers)
    await attest(image, [Statement.about(image, PROVENANCE, {})], attester, stores.referrers)
    for signer in (old, new):
        await verify_signed(image, TrustedKeys([signer.key]), tagged=stores.tagged, referrers=stores.referrers)
    with pytest.raises(UntrustedKey):
        await verify_signed(image, TrustedKeys([attester.key]), tagged=stores.tagged, referrers=stores.referrers)


async def test_nothing_there_is_told(image: ImageReference, stores: Stores) -> None:
    """Not signed, not attested; and attested to something else only."""
    signer = LocalSigner()
    trusted = TrustedKeys([signer.key])
    with pytest.raises(NotSigned, match=str(image.digest)):
        await verify_signed(image, trusted, tagged=stores.tagged, referrers=stores.referrers)
    await attest(image, [Statement.about(image, TEST_RESULT, {})], signer, stores.referrers)
    with pytest.raises(NotAttested, match=PROVENANCE):
        await verify_attested(image, PROVENANCE, trusted, referrers=stores.referrers, envelopes=stores.envelopes)
    with pytest.raises(NotSigned):
        await verify_signed(image, trusted, tagged=stores.tagged, referrers=stores.referrers)


async def test_a_signature_that_does_not_hold_is_not_written(image: ImageReference, stores: Stores) -> None:
    """Whoever signs may be broken or somebody else: what comes is verified before anybody sees it."""
    signer = LocalSigner()
    signer.key = replace(LocalSigner().key, name="vault:transit/release")
    with pytest.raises(SignatureInvalid, match="vault:transit/release"):
        await sign(image, signer, stores.tagged)
    with pytest.raises(SignatureInvalid):
        await attest(image, [Statement.signature_of(image)], signer, stores.referrers)
    assert not await stores.tagged.attached(str(image.digest))
    assert not await stores.referrers.attached(str(image.digest))


async def test_signing_leaves_the_tags_that_people_see(image: ImageReference, stores: Stores) -> None:
    """What is added begins with sha256-; the image's tag names what it named."""
    before = await stores.client.manifest(image.repository, "1.0.0")
    signer = LocalSigner()
    await sign(image, signer, stores.tagged)
    await attest(image, statements(image), signer, stores.referrers)
    tags = set(await stores.client.tags(image.repository))
    tag = str(image.digest).replace(":", "-")
    assert tags - {"1.0.0"} <= {tag, f"{tag}.sig"}
    assert await stores.client.manifest(image.repository, "1.0.0") == before
    for attached in await stores.referrers.attached(str(image.digest)):
        listed = (await stores.client.manifest(image.repository, attached.digest)).document
        assert listed["subject"]["digest"] == image.digest
        assert json.loads(await stores.referrers.content(attached))["mediaType"] == listed["artifactType"]
    assert SIGNED in {
        each.annotations["dev.sigstore.bundle.predicateType"]
        for each in await stores.referrers.attached(str(image.digest))
    }
