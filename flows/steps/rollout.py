"""Roll out: the pull Secret, the workload's image, the watch until it is complete, and the note that it was."""

from __future__ import annotations

import logging

from prefect.runtime import flow_run

from prefect_slipway.flows.reporting.watch import watcher
from prefect_slipway.flows.rollouts.values import DeployedImage
from prefect_slipway.flows.rollouts.workshop import deploy_workshop
from prefect_slipway.flows.steps.step import step
from prefect_slipway.infra.domain.errors import StackDown, VaultError
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.kubernetes.access.rights import DEPLOY_ROLE, check_rights, rollout_rights
from prefect_slipway.infra.kubernetes.workloads.pull_secret import PullSecret, pull_secret_name
from prefect_slipway.infra.kubernetes.workloads.rollout import check_rolls, watch_rollout
from prefect_slipway.infra.kubernetes.workloads.workload import service_account

logger = logging.getLogger(__name__)


@step("look at the workload")
async def look() -> str:
    """What the workload runs now. Raises ObjectMissing and RolloutImpossible."""
    shop = deploy_workshop()
    shop.before = await shop.workload.read()
    check_rolls(shop.before)
    return shop.before.image


@step("check rights")
async def check_rollout(image: DeployedImage) -> None:
    """See that all that a rollout takes is allowed, before anybody is asked or anything is written.

    Raises ClusterForbidden.
    """
    shop = deploy_workshop()
    state = shop.before
    assert state is not None, "the workload was looked at"
    secret = account = None
    if shop.registries.pulls(ImageReference.parse(image.name).registry):
        secret = pull_secret_name(state.name)
        account = None if state.pull_secrets else service_account(state.obj)
    rights = rollout_rights(state.name.kind, state.name.name, secret, account)
    await check_rights(shop.workload.api, rights, role=DEPLOY_ROLE)


@step("write the pull secret")
async def write_pull_secret(image: DeployedImage, *, rolling_back: bool) -> str | None:
    """The name of the Secret the pods pull with, None where none was asked for. Raises NotOurs and VaultErrors.

    `rolling_back`: what ran before may have left its Secret; Vault's trouble does not stand in the way then.
    """
    shop = deploy_workshop()
    assert shop.before is not None, "the workload was looked at"
    host = ImageReference.parse(image.name).registry
    try:
        credential = await shop.registries.pull_credential(host)
    except (VaultError, StackDown) as error:
        if not rolling_back:
            raise
        say(f"the pull credentials could not be read ({error.cause}): the pull Secrets stay as they are")
        return None
    if credential is None:
        return None
    if shop.pull_secret is None:
        shop.pull_secret = PullSecret(shop.workload.api, shop.before)
    if await shop.pull_secret.put(host, credential):
        logger.info("secret/%s holds the credential for %s", shop.pull_secret.name, host)
    return shop.pull_secret.name


@step("set image")
async def set_image(image: DeployedImage, pull_secret: str | None, *, rolling_back: bool) -> None:
    """Set it by digest, unless it is there already with all it needs (an earlier run set it and died)."""
    shop = deploy_workshop()
    there = await shop.workload.read()
    if there.image == image.reference and pull_secret in {None, *there.pull_secrets}:
        shop.written = there
        logger.info("%s has the image already: its rollout is taken up", there.name)
        return
    shop.written = await shop.workload.set_image(
        image.reference, version=image.version, run=run_id(), pull_secret=pull_secret, rolling_back=rolling_back
    )
    logger.info("%s: %s instead of %s", there.name, image.reference, there.image)


@step("watch the rollout")
async def watch(image: DeployedImage) -> None:
    """Raises the RolloutError that says why it does not succeed."""
    shop = deploy_workshop()
    assert shop.written is not None, "the image was set"
    await watch_rollout(shop.workload.api, shop.written, shop.rules, say)


@step("confirm")
async def confirm(image: DeployedImage, *, rolling_back: bool) -> None:
    """Note on the workload that this image was rolled out: promotions and rollbacks go by that."""
    shop = deploy_workshop()
    await shop.workload.confirm(image.reference, version=image.version, run=run_id(), withdraw=rolling_back)


@step("set the earlier image back")
async def put_back(good: str, why: str) -> None:
    """Undo `set_image` and `write_pull_secret`. Raises RolloutSuperseded if somebody has set another image."""
    shop = deploy_workshop()
    assert shop.written is not None, "an image was set"
    secret = shop.pull_secret
    if secret is not None and not secret.made:
        await secret.restore()  # first: the pods that come back may need what it held
    drop = secret.name if secret is not None and secret.made else None
    shop.written = await shop.workload.put_back(shop.written.image, good, why=why, drop_secret=drop)
    if secret is not None and secret.made:
        await secret.restore()
    logger.info("%s: %s again", shop.written.name, good)


@step("watch the earlier image come back")
async def watch_back() -> None:
    """Raises RolloutErrors."""
    shop = deploy_workshop()
    assert shop.written is not None, "an image was set back"
    await watch_rollout(shop.workload.api, shop.written, shop.rules, say)


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
