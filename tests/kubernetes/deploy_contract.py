"""What the deploy, rollback and promote flows promise, on any cluster."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from prefect_slipway.blocks import Policy
from prefect_slipway.flows.reporting.events import DEPLOY_FAILED, IMAGE_DEPLOYED, IMAGE_ROLLED_BACK
from prefect_slipway.flows.run.approval import Approval
from prefect_slipway.infra.domain.errors import (
    ApprovalRefused,
    ClusterForbidden,
    InvalidOption,
    ManifestUnknown,
    NotAttested,
    NotPromoted,
    NotSigned,
    ReleaseUnknown,
    RolloutCrashed,
    UntrustedKey,
    VaultError,
)
from prefect_slipway.infra.domain.naming import image_title
from prefect_slipway.infra.kubernetes.access.kinds import DEPLOYMENT, SECRET
from prefect_slipway.infra.signing.statement import TEST_RESULT
from tests.docs.events_page import EVENTS
from tests.kubernetes.deploy_place import DeployPlace
from tests.kubernetes.rollout_parts import LAST_WORDS, running_images
from tests.signers import LocalSigner

YES = Approval(answer="approve", by="Ada", comment="go")
NO = Approval(answer="refuse", by="Ada", comment="not on a Friday")

MANAGED = "app.kubernetes.io/managed-by=slipway-deploy"


class DeployContract:
    """Fixture: `place`, in an empty namespace."""

    async def test_a_deploy_is_recorded_and_again_writes_nothing(self, place: DeployPlace) -> None:
        """Result, run's name and tags, report and event say what runs where; the same again leaves all as it is."""
        await place.make()
        first = await place.deploy("good")
        result = await place.deploy("better")
        images = place.images
        assert (result.changed, result.version, result.digest) == (True, "1.1.0", images.digests["better"])
        assert (result.reference, result.previous) == (images["better"], images["good"])
        assert await running_images(place.api) == {images["better"]}
        run = (await place.runs("deploy"))[0]
        assert run["name"] == f"deploy {image_title(result.image)} 1.1.0 to {result.namespace}/deployment/app"
        assert {"image:app", "version:1.1.0"} <= set(run["tags"])
        assert result.summary in run["state"]["message"]
        assert images["good"] in await place.report(run["id"])
        payloads = [event["payload"] for event in await place.events(IMAGE_DEPLOYED)]
        assert all(payload.keys() == EVENTS[IMAGE_DEPLOYED].payload.keys() for payload in payloads)
        assert first.flow_run_id in {payload["run"] for payload in payloads}
        assert {payload["workload"] for payload in payloads} == {"deployment/app"}
        before = (await place.state()).obj
        again = await place.deploy("better")
        assert (again.changed, again.reference) == (False, result.reference)
        assert (await place.state()).obj["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]

    async def test_only_what_a_trusted_key_signed_is_rolled_out(self, place: DeployPlace, tmp_path: Path) -> None:
        """An image that is not signed, or by another key, is refused before anything is written; the same key lets it
        in, and a rollback is held to the same."""
        await place.make()
        await place.deploy("good")
        before = (await place.state()).obj["metadata"]["resourceVersion"]
        signer, pem = LocalSigner(), tmp_path / "release.pem"
        pem.write_text(signer.key.pem)
        with pytest.raises(NotSigned, match="is not signed"):
            await place.deploy("better", require=[str(pem)])
        await place.sign("better", LocalSigner())
        with pytest.raises(UntrustedKey):
            await place.deploy("better", require=[str(pem)])
        assert (await place.state()).obj["metadata"]["resourceVersion"] == before
        await place.sign("better", signer)
        assert (await place.deploy("better", require=[str(pem)])).changed
        with pytest.raises(NotSigned):
            await place.rollback(require=[str(pem)])
        await place.sign("good", signer)
        assert (await place.rollback(require=[str(pem)])).reference == place.images["good"]

    async def test_a_namespaces_policy_holds_without_an_option(self, place: DeployPlace) -> None:
        """It is written once; nobody can forget it. Refused before anything is written, with what is
        missing."""
        await place.make()
        await place.deploy("good")
        before = (await place.state()).obj["metadata"]["resourceVersion"]
        signer = LocalSigner()
        passed = {"result": "PASSED", "configuration": [{"name": "scan"}]}
        name = f"policy-{uuid.uuid4().hex[:8]}"
        with place.prefect():
            here = {"namespaces": [place.api.namespace], "servers": [place.api.host]}
            await Policy(trusted_keys=[signer.key.pem], gates=["scan"], **here).asave(name)
        try:
            with pytest.raises(NotSigned, match=name):
                await place.deploy("better")
            await place.sign("better", signer)
            with pytest.raises(NotAttested, match="scan"):
                await place.deploy("better")
            with pytest.raises(NotAttested, match=name):
                await place.rollback("1.1.0")
            assert (await place.state()).obj["metadata"]["resourceVersion"] == before
            await place.sign("better", signer, (TEST_RESULT, passed))
            assert (await place.deploy("better")).changed
        finally:
            with place.prefect():
                await Policy.adelete(name)

    async def test_a_promotion_is_verified_before_its_first_environment(
        self, place: DeployPlace, tmp_path: Path
    ) -> None:
        """What no key signed reaches none of them, whatever runs in the first."""
        for name in ("dev", "production"):
            await place.make(name)
        await place.deploy("better", "dev")
        signer, pem = LocalSigner(), tmp_path / "release.pem"
        pem.write_text(signer.key.pem)
        before = (await place.state("production")).obj["metadata"]["resourceVersion"]
        with pytest.raises(NotSigned):
            await place.promote("dev", "production", require=[str(pem)])
        assert (await place.state("production")).obj["metadata"]["resourceVersion"] == before
        await place.sign("better", signer)
        assert (await place.promote("dev", "production", require=[str(pem)])).environments["production"].changed

    async def test_a_failed_rollout_is_rolled_back_and_fails(self, place: DeployPlace) -> None:
        """The run's final state says the cause, the pod's last lines and what became of it; events tell both."""
        await place.make()
        await place.deploy("good")
        with pytest.raises(RolloutCrashed, match="exit code 3") as raised:
            await place.deploy("crashing")
        assert LAST_WORDS in raised.value.details
        assert f"rolled back to {place.images['good']}, which is running again" in raised.value.cause
        assert await running_images(place.api) == {place.images["good"]}
        state = await place.state()
        assert state.confirmed
        run = (await place.runs("deploy"))[0]
        assert run["state"]["type"] == "FAILED"
        for told in ("RolloutCrashed", "exit code 3", LAST_WORDS, "rolled back to"):
            assert told in run["state"]["message"]
        assert LAST_WORDS in await place.report(run["id"])
        (failed,) = await place.events(DEPLOY_FAILED)
        assert failed["payload"].keys() == EVENTS[DEPLOY_FAILED].payload.keys()
        assert (failed["payload"]["cause"], failed["payload"]["version"]) == ("RolloutCrashed", "1.2.0")
        (back,) = await place.events(IMAGE_ROLLED_BACK)
        assert back["payload"].keys() <= EVENTS[IMAGE_ROLLED_BACK].payload.keys()
        assert back["payload"]["to"] == place.images["good"]

    async def test_without_a_rollback_the_image_stays(self, place: DeployPlace) -> None:
        """Somebody wants to look at it; the next deploy knows what was good."""
        await place.make()
        await place.deploy("good")
        with pytest.raises(RolloutCrashed, match="the image stays"):
            await place.deploy("crashing", rollback=False)
        state = await place.state()
        assert (state.image, state.good) == (place.images["crashing"], place.images["good"])
        await place.deploy("better")
        assert await running_images(place.api) == {place.images["better"]}

    async def test_a_version_and_a_tag_become_a_digest(self, place: DeployPlace) -> None:
        """What the registry does not have, or has otherwise, is refused before anything is written."""
        await place.make(behaviour="better")
        repository = place.images.repository
        by_version = await place.deploy("good", reference=repository, version="1.0.0")
        assert by_version.reference == place.images["good"]
        assert not (await place.deploy("good", reference=f"{repository}:1.0.0")).changed
        with pytest.raises(ManifestUnknown, match=r"no tag 7\.0\.0"):
            await place.deploy("good", version="7.0.0", reference=repository)
        with pytest.raises(ManifestUnknown, match="app@sha256:0"):
            await place.deploy("good", reference=f"{repository}@sha256:{0:064x}")
        with pytest.raises(InvalidOption, match=r"1\.1\.0 is sha256"):
            await place.deploy("good", version="1.1.0")
        with pytest.raises(InvalidOption, match="neither a tag nor a digest"):
            await place.deploy("good", reference=repository)

    async def test_an_interrupted_deploy_sets_the_earlier_image_back(self, place: DeployPlace) -> None:
        """At once and without waiting for it: an image that nobody saw get ready must not stay."""
        await place.make()
        await place.deploy("good")
        deploying = asyncio.create_task(place.deploy("unready"))
        while (await place.state()).image != place.images["unready"]:
            await asyncio.sleep(0.05)
        deploying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deploying
        state = await place.state()
        assert (state.image, state.confirmed) == (place.images["good"], True)

    @pytest.mark.parametrize(
        ("resource", "verb"),
        [("deployments", verb) for verb in ("patch", "list", "watch")]
        + [("pods", verb) for verb in ("list", "watch")]
        + [("secrets", verb) for verb in ("get", "create", "patch", "delete")]
        + [("serviceaccounts", "get")],
    )
    async def test_a_missing_right_is_named_before_anything_is_written(
        self, place: DeployPlace, resource: str, verb: str
    ) -> None:
        """Whichever it is: nobody is asked, no Secret is made, and the workload is as it was."""
        await place.make()
        before = (await place.state()).obj["spec"]
        await place.revoke(resource, verb)
        with pytest.raises(ClusterForbidden, match=rf"{verb} on {resource}") as raised:
            await place.deploy("better", approval=True)
        assert "deploy-role.yaml" in raised.value.action
        assert (await place.state()).obj["spec"] == before
        assert await place.api.find(SECRET, MANAGED) == []

    async def test_a_rollout_waits_for_its_approval(self, place: DeployPlace) -> None:
        """It shows what would be changed; a refusal changes nothing and is no failure, a yes goes on."""
        await place.make()
        await place.deploy("good")
        refused = asyncio.create_task(place.deploy("better", approval=True))
        question = await place.answer("deploy", NO)
        assert place.images["better"] in question and place.images["good"] in question
        with pytest.raises(ApprovalRefused, match="not on a Friday"):
            await refused
        assert (await place.state()).image == place.images["good"]
        assert (await place.runs("deploy"))[0]["state"]["name"] == "Refused"
        approved = asyncio.create_task(place.deploy("better", approval=True))
        await place.answer("deploy", YES)
        assert (await approved).changed
        assert (await place.state()).image == place.images["better"]

    async def test_a_rollback_goes_to_any_earlier_release(self, place: DeployPlace) -> None:
        """The one before, a version, a digest; one that nobody knows is refused."""
        await place.make()
        for behaviour in ("good", "better"):
            await place.deploy(behaviour)
        back = await place.rollback()
        assert (back.version, back.reference) == ("1.0.0", place.images["good"])
        assert await running_images(place.api) == {place.images["good"]}
        assert place.images["good"] in {
            event["payload"]["reference"] for event in await place.events(IMAGE_ROLLED_BACK)
        }
        assert (await place.rollback("1.1.0")).reference == place.images["better"]
        assert (await place.rollback(place.images.digests["good"])).reference == place.images["good"]
        with pytest.raises(ReleaseUnknown, match=r"7\.0\.0"):
            await place.rollback("7.0.0")
        await place.make("fresh")
        with pytest.raises(ReleaseUnknown, match="has no recorded release"):
            await place.rollback(workload="deployment/fresh")

    @pytest.mark.parametrize("to", ["previous", "1.0.0", "the digest"])
    async def test_a_rollback_needs_neither_the_registry_nor_its_password(self, place: DeployPlace, to: str) -> None:
        """What the workload remembers by its digest is rolled out though nobody can ask; the rest is refused."""
        await place.make()
        for behaviour in ("good", "better"):
            await place.deploy(behaviour)
        lost = {"pull_credentials": "vault:secret/nobody/knows"}
        to = place.images.digests["good"] if to == "the digest" else to
        back = await place.rollback(to, **lost)
        assert (back.version, back.reference, back.changed) == ("1.0.0", place.images["good"], True)
        assert await running_images(place.api) == {place.images["good"]}
        state = await place.state()
        assert state.confirmed and len(state.pull_secrets) == 1
        for unknown in ("1.2.0", place.images.digests["crashing"]):
            with pytest.raises(VaultError):
                await place.rollback(unknown, **lost)

    async def test_a_promotion_moves_the_same_digest(self, place: DeployPlace) -> None:
        """Through each environment, each after a yes; again it changes nothing and asks nobody."""
        for name in ("dev", "staging", "production"):
            await place.make(name)
        await place.deploy("better", "dev")
        promoting = asyncio.create_task(place.promote("dev", "staging", "production", approval=True))
        for _ in range(2):
            assert place.images["better"] in await place.answer("deploy", YES)
        result = await promoting
        assert (result.digest, result.version) == (place.images.digests["better"], "1.1.0")
        assert [name for name, done in result.environments.items() if done.changed] == ["staging", "production"]
        for name in ("dev", "staging", "production"):
            assert await running_images(place.api, name) == {place.images["better"]}
        # Each environment's run leads to the promotion that it is part of; this registry has no page for an image.
        links = await place.links((await place.runs("deploy"))[0]["id"])
        (promotion, *_) = await place.runs("promote")
        assert len(links) == 1 and promotion["id"] in links[0], links
        again = await place.promote("dev", "staging", "production", approval=True)
        assert not any(done.changed for done in again.environments.values())
        assert "better" not in (await place.runs("promote"))[0]["name"]
        assert (await place.runs("promote"))[0][
            "name"
        ] == f"promote {image_title(result.image)} 1.1.0: dev → staging → production"

    async def test_a_promotion_stops_at_the_first_no(self, place: DeployPlace) -> None:
        """A refusal, a failure, and a digest that was not rolled out before or was rolled back since."""
        for name in ("app", "staging", "production"):
            await place.make(name)
        with pytest.raises(NotPromoted, match="app: "):
            await place.promote("app", "staging", reference=place.images["better"])
        await place.deploy("better")
        promoting = asyncio.create_task(place.promote("app", "staging", "production", approval=True))
        await place.answer("deploy", NO)
        with pytest.raises(ApprovalRefused, match="not on a Friday"):
            await promoting
        assert (await place.runs("promote"))[0]["state"]["name"] == "Refused"
        assert (await place.state("staging")).image == place.images["good"]
        # A workload that nothing can be rolled out to.
        await place.api.merge(DEPLOYMENT, "staging", {"spec": {"paused": True}})
        with pytest.raises(Exception, match=r"staging: .* is paused"):
            await place.promote("app", "staging", "production")
        assert (await place.state("production")).image == place.images["good"]
        await place.deploy("good")
        await place.rollback("1.1.0")
        with pytest.raises(NotPromoted, match="was not rolled out"):
            await place.promote("app", "staging", reference=place.images["good"])
