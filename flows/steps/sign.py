"""Sign: keys in Vault vouch for what was verified, by digest, before any tag points to it."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import Registries
from prefect_slipway.flows.run.signing_keys import signing_keys
from prefect_slipway.flows.steps.gates import Gated
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.trust.releasing import attest_gates, sign_manifest
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.flows.values.result import VerifiedImage
from prefect_slipway.infra.common.concurrently import run_concurrently
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.images import platform_images
from prefect_slipway.infra.registry.model import Descriptor, Manifest
from prefect_slipway.infra.vault.transit import TransitKey


async def check_signing_keys(run: OpenRun) -> None:
    """See that the requested keys can sign, before anything is built. Raises the VaultErrors as `read_signing_keys`."""
    if keys := signing_keys(run.vault, run.request.trust.places):
        await read_signing_keys(keys)


@step("read signing keys")
async def read_signing_keys(keys: Sequence[TransitKey]) -> list[str]:
    """Read the public keys; returns how people know them. Raises TransitMissing, SigningKeyMissing,
    SigningKeyUnsuitable, KeyVersionRefused and the other VaultErrors."""
    return [str(await key.public_key()) for key in keys]


async def sign(
    run: OpenRun, registries: Registries, plan: ReleasePlan, images: Sequence[VerifiedImage], gated: Gated
) -> tuple[str, ...]:
    """The keys that have signed all public images, each with its version. Raises as `sign_images`."""
    keys = signing_keys(run.vault, plan.sign)
    public = [each for each in images if each.planned.public]
    return await sign_images(run, registries, public, keys, gated) if keys else ()


@step("sign")
async def sign_images(
    run: OpenRun,
    registries: Registries,
    images: Sequence[VerifiedImage],
    keys: Sequence[TransitKey],
    gated: Gated,
) -> tuple[str, ...]:
    """Sign the images; what a key has signed before, it does not sign again. Raises the VaultErrors, RegistryErrors
    (ReferrersRefused) and SignatureInvalid."""
    await run_concurrently(*(_sign_image(run, registries, each, keys, gated) for each in images))
    return tuple([str(await key.public_key()) for key in keys])


async def _sign_image(
    run: OpenRun, registries: Registries, each: VerifiedImage, keys: Sequence[TransitKey], gated: Gated
) -> None:
    trust = run.request.trust
    image = ImageReference.parse(each.planned.image)
    client = await registries.client(image)
    stated: dict[str, tuple[Descriptor, ...]] = {}
    named = await _manifests(client, each)
    for manifest in named:
        stated.setdefault(manifest.digest, ())
        for platform in await platform_images(client, image.repository, manifest):
            digest = platform.manifest.digest
            stated[digest] = (*stated.get(digest, ()), *platform.statements)
    # Keys one after the other, as they write the same lists of signatures.
    for key in keys:
        await run_concurrently(
            *(
                sign_manifest(client, image.with_digest(digest), found, key, older=trust.older, bundles=trust.bundles)
                for digest, found in stated.items()
            )
        )
        # About what the gates were given. They may have looked at one platform alone, so nothing is said of each.
        if trust.bundles:
            for manifest in named:
                await attest_gates(client, image.with_digest(manifest.digest), gated.about(image.name), key)


async def _manifests(client: RegistryClient, image: VerifiedImage) -> list[Manifest]:
    """The manifests to sign: the image, and the index that its version's tag names already, if that has the same images
    (the tag stays there, see `tag`)."""
    reference = ImageReference.parse(image.planned.reference)
    found = [await client.manifest(reference.repository, image.digest)]
    tagged = await client.head(reference.repository, str(reference.tag))
    if tagged is not None and tagged.digest != image.digest:
        manifest = await client.manifest(reference.repository, tagged.digest)
        there = await platform_images(client, reference.repository, manifest)
        if {each.platform: each.manifest.digest for each in there} == image.platforms:
            found.append(manifest)
    return found
