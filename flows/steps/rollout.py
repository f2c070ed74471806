"""Roll out: the pull Secret, the workload's image, the watch until it is complete, and the note that it was."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from prefect.runtime import flow_run

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.rollouts.changes import Changes
from prefect_slipway.flows.rollouts.open_deploy import OpenDeploy
from prefect_slipway.flows.rollouts.values import DeployedImage
from prefect_slipway.flows.run.required import Place, Required, required_of
from prefect_slipway.flows.steps.step import step
from prefect_slipway.flows.trust.checked import verify_image
from prefect_slipway.infra.domain.errors import StackDown, TrustError, VaultError
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.rights import DEPLOY_ROLE, check_rights, rollout_rights
from prefect_slipway.infra.kubernetes.workloads.pull_secret import PullSecret, pull_secret_name
from prefect_slipway.infra.kubernetes.workloads.rollout import check_rolls, watch_rollout
from prefect_slipway.infra.kubernetes.workloads.workload import WorkloadState, service_account
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.signing.keys import TrustedKeys

logger = logging.getLogger(__name__)


@step("look at the workload")
async def look(deploy: OpenDeploy) -> WorkloadState:
    """What the workload runs now. Raises ObjectMissing and RolloutImpossible."""
    state = await deploy.workload.read()
    check_rolls(state)
    return state


class Verifying(Protocol):
    """Where signatures are read from, and the keys that are trusted."""

    async def client(self, image: ImageReference) -> RegistryClient: ...

    async def public_keys(self, texts: Sequence[str]) -> tuple[PublicKey, ...]: ...


async def check_required(
    registries: Verifying, image: DeployedImage, required: Sequence[str], places: Iterable[Place]
) -> tuple[str, ...]:
    """What the image has of all that is required of it by the request and by the policies of these places, for people;
    nothing where nothing is required. Raises as `verify_required`; PrefectErrors."""
    found = await required_of(required, places)
    return await verify_required(registries, image, found) if found else ()


@step("verify signatures")
async def verify_required(registries: Verifying, image: DeployedImage, required: Sequence[Required]) -> tuple[str, ...]:
    """Verify an image before anything is written.

    Raises NotSigned, UntrustedKey and the other TrustErrors, RegistryErrors, VaultErrors, InvalidOption.
    """
    reference = ImageReference.parse(image.name).with_digest(image.digest)
    client = await registries.client(reference)
    for each in required:
        keys = TrustedKeys(await registries.public_keys(each.requirements.trusted_keys))
        try:
            await verify_image(client, reference, keys, each.requirements)
        except TrustError as error:
            by = f"the policy {each.policy}" if each.policy is not None else "the request"
            raise error.adding(f"{by} requires: {', '.join(each.requirements.lines())}") from error
    return tuple(line for each in required for line in each.lines())


def place_of(api: KubernetesApi) -> Place:
    """For the policies that cover it."""
    return Place(api.host, api.namespace, api.in_cluster)


@step("check rights")
async def check_rollout(deploy: OpenDeploy, image: DeployedImage, before: WorkloadState) -> None:
    """See that all that a rollout takes is allowed, before anybody is asked or anything is written.

    Raises ClusterForbidden.
    """
    secret = account = None
    if deploy.registries.pulls(ImageReference.parse(image.name).registry):
        secret = pull_secret_name(before.name)
        account = None if before.pull_secrets else service_account(before.obj)
    rights = rollout_rights(before.name.kind, before.name.name, secret, account)
    await check_rights(deploy.workload.api, rights, role=DEPLOY_ROLE)


@step("write the pull secret")
async def write_pull_secret(
    deploy: OpenDeploy, image: DeployedImage, before: WorkloadState, changes: Changes, *, rolling_back: bool
) -> str | None:
    """The name of the Secret the pods pull with, None where none was requested. Raises NotOurs and VaultErrors.

    `rolling_back`: what ran before may have left its Secret; Vault's trouble does not stand in the way then.
    """
    host = ImageReference.parse(image.name).registry
    try:
        credential = await deploy.registries.pull_credential(host)
    except (VaultError, StackDown) as error:
        if not rolling_back:
            raise
        say(f"the pull credentials could not be read ({error.cause}): the pull Secrets are not changed")
        return None
    if credential is None:
        return None
    if changes.pull_secret is None:
        changes.pull_secret = PullSecret(deploy.workload.api, before)
    if await changes.pull_secret.put(host, credential):
        logger.info("secret/%s holds the credential for %s", changes.pull_secret.name, host)
    return changes.pull_secret.name


@step("set image")
async def set_image(
    deploy: OpenDeploy, image: DeployedImage, pull_secret: str | None, changes: Changes, *, rolling_back: bool
) -> WorkloadState:
    """Set it by digest, unless it is there already with all it needs (an earlier run set it and died)."""
    there = await deploy.workload.read()
    if there.image == image.reference and pull_secret in {None, *there.pull_secrets}:
        changes.workload = there
        logger.info("%s has the image already: watching its rollout", there.name)
        return there
    changes.workload = written = await deploy.workload.set_image(
        image.reference, version=image.version, run=run_id(), pull_secret=pull_secret, rolling_back=rolling_back
    )
    logger.info("%s: %s instead of %s", there.name, image.reference, there.image)
    return written


@step("watch the rollout")
async def watch(deploy: OpenDeploy, written: WorkloadState) -> None:
    """Raises the RolloutError that says why it does not succeed."""
    await watch_rollout(deploy.workload.api, written, deploy.rules, say)


@step("confirm")
async def confirm(deploy: OpenDeploy, image: DeployedImage, *, rolling_back: bool) -> None:
    """Note on the workload that this image was rolled out: promotions and rollbacks go by that."""
    await deploy.workload.confirm(image.reference, version=image.version, run=run_id(), withdraw=rolling_back)


@step("restore the previous image")
async def put_back(
    deploy: OpenDeploy, written: WorkloadState, secret: PullSecret | None, good: str, why: str
) -> WorkloadState:
    """Undo `set_image` and `write_pull_secret`. Raises RolloutSuperseded if somebody has set another image."""
    if secret is not None and not secret.made:
        await secret.restore()  # first: the pods that come back may need what it held
    drop = secret.name if secret is not None and secret.made else None
    back = await deploy.workload.put_back(written.image, good, why=why, drop_secret=drop)
    if secret is not None and secret.made:
        await secret.restore()
    logger.info("%s: %s again", back.name, good)
    return back


@step("watch the restored image")
async def watch_back(deploy: OpenDeploy, back: WorkloadState) -> None:
    """Raises RolloutErrors."""
    await watch_rollout(deploy.workload.api, back, deploy.rules, say)


def run_id() -> str:
    """This flow run's id, as it is noted on the workload."""
    return str(flow_run.id)


def say(text: str) -> None:
    """Progress of a rollout, for the terminal and the run's log."""
    logger.info("%s", text)
    watcher().say(text)


def tell_outcome(text: str) -> None:
    """What became of a rollout that failed or was interrupted."""
    logger.info("%s", text)
    watcher().outcome(text)
