"""Release on forge: the release's page on GitHub, GitLab, Gitea or Forgejo. The images are public by then: whatever
goes wrong is a warning, and the same command does the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import get_run_logger

from prefect_slipway.flows.reporting.forge_text import forge_text
from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.run.interrupts import unless_interrupted
from prefect_slipway.flows.run.open_run import OpenRun
from prefect_slipway.flows.run.registries import Registries, needed
from prefect_slipway.flows.run.stopwatch import not_counted
from prefect_slipway.flows.run.verify_commands import verify_commands
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.values.forge import ForgeOutcome
from prefect_slipway.flows.values.plan import ReleasePlan
from prefect_slipway.infra.domain.errors import AnswerTooLarge, SignatureMalformed, SlipwayError
from prefect_slipway.infra.domain.predicates import CYCLONEDX, PREDICATE, SPDX
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.secret_path import SecretField
from prefect_slipway.infra.domain.urls import shown
from prefect_slipway.infra.domain.version import image_tag, parse_version

if TYPE_CHECKING:
    from prefect_slipway.infra.forges.release import Asset, Published

_LARGEST_SBOM = 32 << 20


async def show_on_forge(
    run: OpenRun, registries: Registries, plan: ReleasePlan, references: Sequence[str] = ()
) -> ForgeOutcome | None:
    """Create or update the release on the forge; None if none was asked for. `references`: of the public images, none
    where they were public before. Never fails: an interruption ends it, too."""
    if plan.forge is None:
        return None
    outcome = ForgeOutcome(warning="the run was interrupted")

    async def try_it() -> None:
        nonlocal outcome
        try:
            outcome = await release_on_forge(run, registries, plan, references)
        except Exception as error:
            cause = f"{error.cause}. Next: {error.action}" if isinstance(error, SlipwayError) else type(error).__name__
            outcome = ForgeOutcome(warning=cause)

    with not_counted():
        await unless_interrupted(try_it())
    if outcome.warning:
        outcome = ForgeOutcome(warning=f"no release {plan.forge.tag} of {plan.forge.place}: {outcome.warning}")
        watcher().say(f"WARN: {outcome.warning}")
        get_run_logger().warning("%s", outcome.warning)
    return outcome


@step("release on forge")
async def release_on_forge(
    run: OpenRun, registries: Registries, plan: ReleasePlan, references: Sequence[str]
) -> ForgeOutcome:
    """Raises ForgeErrors, VaultErrors, RegistryErrors, InvalidOption and StackDown."""
    from prefect_slipway.infra.forges.open import open_forge
    from prefect_slipway.infra.forges.release import ForgeRelease, publish

    forge, choice = plan.forge, run.request.forge
    assert forge is not None and choice.token is not None, "a forge was asked for"
    version = parse_version(forge.version)
    before = not references
    if before:
        references = [await _released(registries, image.image, image_tag(version)) for image in plan.public]
    images = [ImageReference.parse(reference) for reference in references]
    keys = run.signing_keys(images)
    verify = verify_commands(run.request, registries, keys, references, slipway="slipway")
    assets = [asset for image in images for asset in await _sboms(registries, image)]
    wanted = ForgeRelease(
        forge.tag,
        image_tag(version),
        forge.revision,
        forge_text(plan, references, verify),
        prerelease=bool(version.prerelease),
        latest=forge.latest,
    )
    token = await read_token(run)
    async with open_forge(forge.place, token, Path(choice.ca) if choice.ca else None) as opened:
        # What is known of a release that was made before is less than what its text says.
        done = await publish(opened, wanted, assets, keep=before)
    page = page_of(done)
    get_run_logger().info("release %s of %s: %s %s", forge.tag, forge.place, done.did, page)
    return ForgeOutcome(page, done.did)


async def read_token(run: OpenRun) -> str:
    """The forge's token, as Vault has it now. Raises VaultErrors and StackDown."""
    vault = needed(run.vault, "the forge's token is in Vault")
    place = SecretField.of_token(str(run.request.forge.token))
    return (await vault.read(place.path)).text(place.field)


def page_of(done: Published) -> str:
    """The page as it may be shown."""
    return shown(done.page) if done.page.startswith(("https://", "http://")) else ""


async def _released(registries: Registries, image: str, tag: str) -> str:
    """The reference of a version that was public before."""
    reference = ImageReference.parse(f"{image}:{tag}")
    client = await registries.client(reference)
    return f"{image}:{tag}@{(await client.manifest(reference.repository, tag)).digest}"


async def _sboms(registries: Registries, image: ImageReference) -> list[Asset]:
    """The SBOMs that are attached to the image, a file each."""
    from prefect_slipway.infra.forges.release import Asset
    from prefect_slipway.infra.registry.blobs import read_blob
    from prefect_slipway.infra.registry.images import platform_images
    from prefect_slipway.infra.signing.reading import read_object

    client = await registries.client(image)
    manifest = await client.manifest(image.repository, str(image.digest))
    found: dict[str, Asset] = {}
    for each in await platform_images(client, image.repository, manifest):
        for statement in each.statements:
            kind = statement.annotations[PREDICATE]
            ending = "spdx" if kind.startswith(SPDX) else "cdx" if kind.startswith(CYCLONEDX) else ""
            platform = f"-{each.platform.replace('/', '-')}" if each.platform else ""
            name = f"{image.repository.replace('/', '-')}-{image.tag}{platform}.{ending}.json"
            if not ending or name in found:
                continue
            try:
                raw = await read_blob(client, image.repository, statement, _LARGEST_SBOM)
                document = read_object(raw, "an SBOM", limit=_LARGEST_SBOM).get("predicate")
            except (AnswerTooLarge, SignatureMalformed) as error:
                get_run_logger().warning("the SBOM %s is not attached: %s", name, error.cause)
                continue
            found[name] = Asset(name, json.dumps(document, indent=1).encode())
    return list(found.values())
