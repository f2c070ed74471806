"""Check base images: a scheduled flow that starts a patch release of applications whose base images changed."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from prefect import flow, get_client
from prefect.artifacts import TableArtifact
from prefect.client.orchestration import PrefectClient
from prefect.variables import Variable

from prefect_slipway.flows.base_images.changes import Move, Noted, look
from prefect_slipway.flows.base_images.released import Release, latest_release, released_source, sightings
from prefect_slipway.flows.reporting.artifact_keys import key_of
from prefect_slipway.flows.request.base_check import Application, BaseCheck
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.flow_run import About, as_run, has_report
from prefect_slipway.flows.run.open_run import OpenRun, open_run
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.run.required import required_of
from prefect_slipway.flows.run.starting import StartedRun, find_deployment, start_run
from prefect_slipway.flows.run.trusted_keys import public_keys
from prefect_slipway.flows.trust.checked import verify_image
from prefect_slipway.infra.domain.errors import InvalidOption, SlipwayError
from prefect_slipway.infra.domain.reference import ImageReference, repository_name
from prefect_slipway.infra.domain.version import Bump
from prefect_slipway.infra.signing.keys import TrustedKeys

TRIGGER_TAG = "trigger: base image"
"""A tag of the runs that a moved base has started."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result for one application: `outcome`, a line for people; `moved`: a line `NAME FROM -> TO` for each
    change."""

    deployment: str
    image: str
    version: str | None
    outcome: str
    moved: tuple[str, ...] = ()
    run_id: str | None = None
    url: str = ""


@read_before_recorded
@flow(name="check-bases", flow_run_name="{request.run_name}", persist_result=True, result_serializer="json")
async def check_bases(request: BaseCheck) -> list[Checked]:
    """Compare the base images of each application's last release with the registry, and start a patch release if one
    changed.

    The patch builds the released commit again, without later commits. The same change never starts a second run.
    """
    about = About("base-images", request.subject, f"the bases of {request.called} were not checked")
    return await as_run(lambda: _checked(request), about, _said_of_all)


async def _checked(request: BaseCheck) -> list[Checked]:
    results: list[Checked] = []
    failures: list[SlipwayError] = []
    async with get_client() as client:
        for application in request.applications:
            try:
                results.append(await _check(client, application))
            except SlipwayError as error:
                failures.append(error)
                results.append(Checked(application.deployment, application.image or "", None, error.cause))
    await TableArtifact(
        key=key_of("base-images", request.subject),
        table=[asdict(result) for result in results],
        description="Base images of the latest releases",
    ).acreate()
    has_report()
    if failures:
        # All others are checked before the run fails.
        raise failures[0]
    return results


def _said_of_all(results: Sequence[Checked]) -> str:
    return "; ".join(f"{result.deployment}: {result.outcome}" for result in results)


async def _check(client: PrefectClient, application: Application) -> Checked:
    deployment = await find_deployment(client, application.deployment)
    given = deployment.parameters.get("request")
    if not isinstance(given, dict):
        raise InvalidOption(f"the deployment {application.deployment} does not have a release request as a parameter")
    named = application.model_dump(exclude={"deployment", "path", "require"})
    path = {"checkout": {"path": application.path}} if application.path is not None else {}
    wanted = ReleaseRequest.read(given).changed({**named, **path})
    async with open_run(wanted) as run:
        release = await latest_release(run)
        if release.digest is None:
            return Checked(application.deployment, release.image, None, "not released yet")
        await _verify(run, release, application.require)
        found = await sightings(run, release)
        released = released_source(run, release)
    name = _variable(release.image)
    moves, noted = look(release.digest, found, Noted.parse(await Variable.aget(name)))
    started = None
    if moves:
        # Release the same commit again, whatever else the deployment says.
        version = {"prerelease": False, "exact": None, "only_new": False, "again": True}
        patch = wanted.changed({**released, "bump": Bump.PATCH, "version": version})
        parameters = {"request": patch.model_dump(mode="json", exclude_defaults=True)}
        started = await start_run(
            client,
            deployment,
            parameters,
            idempotency_key=f"slipway.bases/{_key(release, moves)}",
            tags=[TRIGGER_TAG],
        )
    await Variable.aset(name, noted.as_value(), tags=["slipway"], overwrite=True)
    return Checked(
        application.deployment,
        release.image,
        release.version,
        _outcome(len(found), moves, started),
        tuple(_said(move) for move in moves),
        started.run_id if started else None,
        started.url if started else "",
    )


async def _verify(run: OpenRun, release: Release, require: Sequence[str]) -> None:
    """Raises TrustErrors: who may push an image must not choose what is built again."""
    image = ImageReference.parse(release.image).with_digest(str(release.digest))
    client = await run.registries(image.registry).client(image)
    for each in await required_of(require):
        keys = TrustedKeys(await public_keys(each.requirements.trusted_keys, run.vault))
        await verify_image(client, image, keys, each.requirements)


def _key(release: Release, moves: Sequence[Move]) -> str:
    moved = sorted((move.name, sorted(move.now.items())) for move in moves)
    return hashlib.sha256(json.dumps([release.image, release.digest, moved]).encode()).hexdigest()


def _outcome(number: int, moves: Sequence[Move], started: StartedRun | None) -> str:
    if started is None:
        return f"{number} base image{'s' if number != 1 else ''}, none changed"
    moved = ", ".join(move.name for move in moves)
    name = started.name.removeprefix("release ")
    if started.new:
        return f"{moved} changed: patch release {name}"
    # Not retried automatically: what failed once for this base would fail every night.
    hint = "; start it again yourself" if started.failed else ""
    return f"{moved} changed: the patch release {name} is {started.state}{hint}"


def _said(move: Move) -> str:
    parts = []
    for platform, digest in sorted(move.now.items()):
        before = move.before.get(platform, "an unknown one")
        if before != digest:
            parts.append(f"{platform} {before} -> {digest}".strip())
    return f"{move.name}: {', '.join(parts) or 'other platforms'}"


def _variable(image: str) -> str:
    """The name of a Prefect variable: lower case, digits and dashes; the hash keeps `a.b` and `a-b` apart."""
    digest = hashlib.sha256(image.encode()).hexdigest()[:8]
    return f"slipway-bases-{repository_name(image)[:80]}-{digest}"
