"""Build an image again from its recorded inputs, on a builder of one's own and without a cache, and compare."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect_slipway.flows.inspecting.attested import Attestations
from prefect_slipway.flows.inspecting.open import full_name
from prefect_slipway.flows.inspecting.read import named
from prefect_slipway.flows.rebuilding.recipe import Recipe
from prefect_slipway.flows.request.rebuild import RebuildRequest
from prefect_slipway.flows.run.nodes import look_at_builder
from prefect_slipway.flows.run.open_run import OpenRun, open_run
from prefect_slipway.flows.run.signing_keys import signing_keys
from prefect_slipway.flows.run.sources import open_source
from prefect_slipway.flows.trust.signing import attest
from prefect_slipway.flows.values.builder import BuilderFacts
from prefect_slipway.infra.buildkit.address import BuilderAddress
from prefect_slipway.infra.buildkit.build.events import BuildEvent
from prefect_slipway.infra.buildkit.build.request import BuildOutcome
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.errors import NotRebuildable, NotRebuilt
from prefect_slipway.infra.domain.outside import one_line
from prefect_slipway.infra.domain.predicates import SLSA
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.images import platform_images
from prefect_slipway.infra.registry.model import ImageConfig, Manifest
from prefect_slipway.infra.registry.referrers import Referrers
from prefect_slipway.infra.signing.bundle import BUNDLE
from prefect_slipway.infra.signing.statement import REBUILT, Statement
from prefect_slipway.infra.source.checkout import Checkout

Step = Callable[[str], AbstractContextManager[None]]
OnEvent = Callable[[str, BuildEvent], None]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`platforms`: the digests, equal in the registry and here. `signed_by`: the keys that signed that."""

    image: str
    digest: str
    revision: str
    platforms: dict[str, str]
    signed_by: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"rebuilt": True, **asdict(self)}

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.image}@{self.digest}", f"  revision {self.revision}"]
        lines += [f"  {platform} {digest}, rebuilt" for platform, digest in self.platforms.items()]
        return lines + [f"  signed by {key}" for key in self.signed_by]


async def rebuild(request: RebuildRequest, step: Step, on_event: OnEvent) -> Rebuilt:
    """Rebuild each platform of an image, and sign a statement about each if all digests are equal.

    `step`: around each step, by its name; `on_event`: called with each build's platform and events. Raises
    NotRebuildable for what is not known well enough, NotRebuilt for another digest, and what registry, source, builder
    and Vault raise.
    """
    async with open_run(request.release()) as run:
        image = full_name(request.reference, run.stack)
        registries = run.registries(image.registry)
        client = await registries.client(image)
        with step("read image"):
            keys = signing_keys(run.vault, request.trust.places)
            signers = [str(await key.public_key()) for key in keys]
            image = await named(client, image)
            manifest = await client.manifest(image.repository, str(image.digest or image.tag))
            recipes = await _recipes(client, image, manifest)
        run.request = request.release(revision := recipes[0].revision)
        try:
            with step("provision builder"):
                builder = await look_at_builder(run, image.registry)
            with step("fetch source"):
                checkout = await open_source(run)
            async with checkout:
                for recipe in recipes:
                    with step(f"rebuild {recipe.image.platform}"):
                        await _same(run, client, image, checkout, builder, recipe, on_event)
        finally:
            await run.builder.close()
        if keys:
            with step("sign"):
                said = {"reproduced": True, "revision": revision}
                for recipe in recipes:
                    part = image.with_digest(recipe.image.manifest.digest)
                    for key in keys:
                        store = Referrers(client, image.repository, BUNDLE)
                        await attest(part, [Statement.about(part, REBUILT, said)], key, store)
        platforms = {each.image.platform: each.image.manifest.digest for each in recipes}
        return Rebuilt(image.name, manifest.digest, revision, platforms, tuple(signers))


async def _recipes(client: RegistryClient, image: ImageReference, manifest: Manifest) -> Sequence[Recipe]:
    """Of each platform, never none. Raises NotRebuildable."""
    found: list[Recipe] = []
    predicates: list[Mapping[str, Any]] = []

    def seen(kind: str, predicate: Mapping[str, Any]) -> None:
        if kind.startswith(SLSA):
            predicates.append(predicate)

    # One reader: its limit is for all attestations of the index.
    reader = Attestations(client, image.repository, seen=seen)
    for each in await platform_images(client, image.repository, manifest):
        predicates.clear()
        await reader.about(each.manifest.digest, each.statements)
        if not predicates:
            raise NotRebuildable(f"the image for {each.platform} has no provenance")
        found.append(Recipe.read(each, predicates[-1]))
    if len({recipe.revision for recipe in found}) != 1:
        raise NotRebuildable("the image's platforms are of different commits")
    return found


async def _same(
    run: OpenRun,
    client: RegistryClient,
    image: ImageReference,
    checkout: Checkout,
    builder: BuilderFacts,
    recipe: Recipe,
    on_event: OnEvent,
) -> None:
    """Raises NotRebuilt, with what differs."""
    platform = recipe.image.platform
    (share,) = builder.shares([platform], emulate=run.request.builder.emulate)
    node = await run.builder.node(image.registry, share.node.name)
    credentials = await run.builder.credentials(run.registries(image.registry), image)
    with tempfile.TemporaryDirectory(prefix="slipway-rebuild-") as folder:
        layout = Path(folder)
        request = recipe.request(checkout, node.network, layout)

        async def at(address: BuilderAddress) -> BuildOutcome:
            async with BuildKit(address) as buildkit:
                return await buildkit.build(request, credentials, lambda event: on_event(platform, event))

        outcome = await node.watched(at)
        if outcome.digest == recipe.image.manifest.digest:
            return
        raise NotRebuilt(
            f"the image for {platform} has the digest {recipe.image.manifest.digest}, its rebuild {outcome.digest}",
            details="\n".join(await _differences(client, image, recipe, layout, outcome.digest)),
            action=(
                "see what differs: a download that has changed, or a step that the release took from a cache of before "
                "the commit (release with --reproducible and --no-cache)"
            ),
        )


async def _differences(
    client: RegistryClient, image: ImageReference, recipe: Recipe, layout: Path, digest: str
) -> list[str]:
    """A line for each layer with other files; else what differs besides the files."""

    def blob(digest: str) -> bytes:
        return (layout / "blobs" / digest.replace(":", "/")).read_bytes()

    there = recipe.image.manifest
    here = Manifest.parse(blob(digest), there.media_type)
    was = await client.image_config(image.repository, there)
    now = ImageConfig.parse(blob(here.blobs[0].digest), here.blobs[0].digest)
    if len(was.diff_ids) != len(now.diff_ids):
        return [f"{len(was.diff_ids)} layers before, {len(now.diff_ids)} now"]
    steps = was.steps if len(was.steps) == len(was.diff_ids) else ("",) * len(was.diff_ids)
    found = [
        f"other files in layer {number}: {step}"
        for number, (before, after, step) in enumerate(zip(was.diff_ids, now.diff_ids, steps, strict=True), 1)
        if before != after
    ]
    if found:
        return [one_line(each) for each in found]
    if [each.digest for each in there.blobs[1:]] != [each.digest for each in here.blobs[1:]]:
        return ["the same files, compressed in another way"]
    same = there.blobs[0].digest == here.blobs[0].digest
    return [f"the same layers, and other {'annotations in the manifest' if same else 'settings in the configuration'}"]
