"""What must hold of rollouts, whichever the cluster is: set by digest, watched, named when they fail, taken back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import (
    NotOurs,
    ObjectMissing,
    RolloutCrashed,
    RolloutDeadline,
    RolloutError,
    RolloutImagePull,
    RolloutImpossible,
    RolloutOutOfMemory,
    RolloutProbeFailed,
    RolloutRefused,
    RolloutSuperseded,
    RolloutUnschedulable,
)
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import (
    CRON_JOB,
    DEPLOYMENT,
    SECRET,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    Kind,
    Object,
)
from prefect_slipway.infra.kubernetes.workloads.pull_secret import PullSecret
from prefect_slipway.infra.kubernetes.workloads.rollout import RolloutRules, check_rolls, watch_rollout
from prefect_slipway.infra.kubernetes.workloads.workload import Workload, WorkloadState, pod_template
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName
from tests.kubernetes.rollout_parts import (
    LAST_WORDS,
    ROLLING_KINDS,
    Images,
    make,
    running_images,
    version_of,
    workload,
)

QUOTA = Kind("ResourceQuota", "v1", "resourcequotas")


class Rollouts:
    """Rolls images out in the namespace of `api`, as a deploy does. `overdue_s`: after which what is not ready has
    had time enough."""

    def __init__(
        self, api: KubernetesApi, images: Images, credential: Credential, rules: RolloutRules, *, overdue_s: float
    ) -> None:
        self.api = api
        self.images = images
        self.credential = credential
        self.rules = rules
        self.overdue_s = overdue_s
        self.said: list[str] = []

    async def roll(self, name: WorkloadName, behaviour: str, **changes: Any) -> tuple[WorkloadState, PullSecret]:
        """Set the image and its pull Secret, watch it, note that it was rolled out."""
        state, secret = await self.set(name, behaviour)
        await watch_rollout(self.api, state, replace(self.rules, **changes), self.said.append)
        state = await Workload(self.api, name).confirm(state.image, version=version_of(behaviour), run="a-run")
        return state, secret

    async def set(self, name: WorkloadName, behaviour: str) -> tuple[WorkloadState, PullSecret]:
        target = Workload(self.api, name)
        before = await target.read()
        check_rolls(before)
        secret = PullSecret(self.api, before)
        await secret.put(ImageReference.parse(self.images.repository).registry, self.credential)
        state = await target.set_image(
            self.images[behaviour], version=version_of(behaviour), run="a-run", pull_secret=secret.name
        )
        return state, secret

    async def back(self, name: WorkloadName) -> WorkloadState:
        """Set back what ran before, and see that it runs again."""
        target = Workload(self.api, name)
        bad = await target.read()
        state = await target.put_back(bad.image, bad.good, why="test")
        await watch_rollout(self.api, state, self.rules, self.said.append)
        return state


class RolloutContract:
    """Fixtures: `api` (open on an empty namespace), `rollouts`."""

    @pytest.mark.parametrize("kind", ROLLING_KINDS, ids=lambda kind: kind.name)
    async def test_an_image_is_rolled_out_and_remembered(
        self, api: KubernetesApi, rollouts: Rollouts, kind: Kind
    ) -> None:
        """By digest; the workload says what runs, since which run, what ran before and what succeeded."""
        images = rollouts.images
        name = await make(api, kind, images["good"])
        await rollouts.roll(name, "good")
        state, _ = await rollouts.roll(name, "better")
        assert await running_images(api) == {images["better"]}
        annotations = state.obj["metadata"]["annotations"]
        assert annotations["slipway.dev/version"] == "1.1.0"
        assert annotations["slipway.dev/digest"] == images.digests["better"]
        assert annotations["slipway.dev/run"] == "a-run"
        assert annotations["slipway.dev/previous"] == images["good"]
        assert images["better"] in annotations["kubernetes.io/change-cause"]
        assert [(each.image, each.version) for each in state.history] == [
            (images["better"], "1.1.0"),
            (images["good"], "1.0.0"),
        ]
        assert state.confirmed and not state.pending
        assert any("waiting for" in text for text in rollouts.said)

    async def test_a_cron_jobs_next_job_has_the_image(self, api: KubernetesApi, rollouts: Rollouts) -> None:
        """Nothing rolls: the object is what there is to see."""
        name = await make(api, CRON_JOB, rollouts.images["good"])
        state, secret = await rollouts.roll(name, "better")
        assert state.image == rollouts.images["better"]
        assert state.pull_secrets == (secret.name,)
        assert await running_images(api) == set()

    @pytest.mark.parametrize(
        ("behaviour", "cause", "told"),
        [
            ("crashing", RolloutCrashed, rf"exit code 3[\s\S]*{LAST_WORDS}"),
            ("greedy", RolloutOutOfMemory, "OOMKilled"),
            ("unready", RolloutProbeFailed, r"readiness probe[\s\S]*not yet"),
            ("dying", RolloutProbeFailed, "liveness probe"),
        ],
    )
    async def test_what_goes_wrong_is_named_and_taken_back(
        self, api: KubernetesApi, rollouts: Rollouts, behaviour: str, cause: type[RolloutError], told: str
    ) -> None:
        """Early where it cannot pass, at the deadline where it might; then the image before runs as it did."""
        name = await make(api, DEPLOYMENT, rollouts.images["good"], replicas=2)
        await rollouts.roll(name, "good")
        late = behaviour == "unready"
        # A busy node may look whether it lives only after it was ready for a while.
        settle_s = 60.0 if behaviour == "dying" else rollouts.rules.settle_s
        with pytest.raises(cause, match=told):
            await rollouts.roll(name, behaviour, timeout_s=rollouts.overdue_s if late else 60.0, settle_s=settle_s)
        assert (await Workload(api, name).read()).pending
        state = await rollouts.back(name)
        assert await running_images(api) == {rollouts.images["good"]}
        assert state.confirmed
        assert state.obj["metadata"]["annotations"]["slipway.dev/version"] == "1.0.0"

    async def test_a_deadline_that_passed_says_nothing_of_the_rollout_after_it(
        self, api: KubernetesApi, rollouts: Rollouts
    ) -> None:
        """The failed rollout's condition still stands when its controller has seen the image that was set back."""
        obj = workload(DEPLOYMENT, rollouts.images["good"])
        await api.create(obj)
        name = WorkloadName(DEPLOYMENT, "app")
        await rollouts.roll(name, "good")
        await api.merge(DEPLOYMENT, "app", {"spec": {"progressDeadlineSeconds": 2}})
        with pytest.raises((RolloutProbeFailed, RolloutDeadline)):
            await rollouts.roll(name, "unready", timeout_s=60.0)
        assert (await Workload(api, name).read()).pending
        assert (await rollouts.back(name)).confirmed
        assert await running_images(api) == {rollouts.images["good"]}

    @pytest.mark.parametrize("kind", ROLLING_KINDS[1:], ids=lambda kind: kind.name)
    async def test_other_kinds_come_back_as_well(self, api: KubernetesApi, rollouts: Rollouts, kind: Kind) -> None:
        """A StatefulSet would wait for its broken pod for ever."""
        name = await make(api, kind, rollouts.images["good"])
        await rollouts.roll(name, "good")
        with pytest.raises(RolloutCrashed, match="exit code 3"):
            await rollouts.roll(name, "crashing")
        await rollouts.back(name)
        assert await running_images(api) == {rollouts.images["good"]}

    async def test_an_image_that_cannot_be_pulled_is_named(self, api: KubernetesApi, rollouts: Rollouts) -> None:
        """With what the registry said; the Secret holds again what it held."""
        name = await make(api, DEPLOYMENT, rollouts.images["good"])
        _, secret = await rollouts.roll(name, "good")
        before = await api.get(SECRET, secret.name)
        rollouts.credential = Credential(rollouts.credential.username, "wrong")
        state, secret = await rollouts.set(name, "better")
        with pytest.raises(RolloutImagePull, match=r"app@sha256:[\s\S]*401|nauthorized"):
            await watch_rollout(api, state, rollouts.rules)
        await secret.restore()
        after = await api.get(SECRET, secret.name)
        assert before is not None and after is not None
        assert after["data"] == before["data"]
        await rollouts.back(name)

    @pytest.mark.parametrize("kind", ROLLING_KINDS, ids=lambda kind: kind.name)
    async def test_a_quota_is_named(self, api: KubernetesApi, rollouts: Rollouts, kind: Kind) -> None:
        """Whether a condition says so or an event."""
        await _create(api, QUOTA, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
        name = await make(api, kind, rollouts.images["good"])
        with pytest.raises(RolloutRefused, match="exceeded quota"):
            await rollouts.roll(name, "better", patience_s=1.0)

    async def test_a_pod_that_finds_no_node_is_named(self, api: KubernetesApi, rollouts: Rollouts) -> None:
        """After the patience that a node on its way deserves."""
        obj = workload(DEPLOYMENT, rollouts.images["good"])
        pod_template(obj)["spec"]["nodeSelector"] = {"slipway.dev/no-such-node": "x"}
        await api.create(obj)
        with pytest.raises(RolloutUnschedulable, match="no node can run"):
            await rollouts.roll(WorkloadName(DEPLOYMENT, "app"), "better", patience_s=1.0)

    async def test_another_image_meanwhile_is_left_alone(self, api: KubernetesApi, rollouts: Rollouts) -> None:
        """Who comes second does not overwrite, and does not roll back."""
        name = await make(api, DEPLOYMENT, rollouts.images["good"])
        await rollouts.roll(name, "good")
        state, _ = await rollouts.set(name, "unready")
        watching = asyncio.create_task(watch_rollout(api, state, rollouts.rules))
        await asyncio.sleep(0.3)
        await Workload(api, name).set_image(rollouts.images["better"], version=None, run="another")
        with pytest.raises(RolloutSuperseded, match="somebody set another image"):
            await watching
        with pytest.raises(RolloutSuperseded):
            await Workload(api, name).put_back(state.image, rollouts.images["good"], why="test")
        # An image that nobody saw get ready is none to go back to.
        assert (await Workload(api, name).read()).good == rollouts.images["good"]

    async def test_what_cannot_roll_is_said_before_anything_is_written(
        self, api: KubernetesApi, rollouts: Rollouts
    ) -> None:
        """Paused, replaced on deletion alone, not there, no such container, not one container."""
        paused = workload(DEPLOYMENT, "a/b:1", name="paused", replicas=0)
        paused["spec"]["paused"] = True
        manual = workload(STATEFUL_SET, "a/b:1", name="manual", replicas=0)
        manual["spec"]["updateStrategy"] = {"type": "OnDelete"}
        double = workload(DEPLOYMENT, "a/b:1", name="double", replicas=0)
        pod_template(double)["spec"]["containers"].append({"name": "sidecar", "image": "a/c:1"})
        for obj in (paused, manual, double):
            await api.create(obj)
        for kind, name, told in [
            (DEPLOYMENT, "paused", "paused"),
            (STATEFUL_SET, "manual", "OnDelete"),
            (DEPLOYMENT, "double", "app, sidecar"),
        ]:
            with pytest.raises(RolloutImpossible, match=told):
                await rollouts.set(WorkloadName(kind, name), "good")
        with pytest.raises(RolloutImpossible, match="no container other"):
            await Workload(api, WorkloadName(DEPLOYMENT, "double"), "other").read()
        with pytest.raises(ObjectMissing, match="deployment/absent"):
            await rollouts.set(WorkloadName(DEPLOYMENT, "absent"), "good")
        assert await api.find(SECRET, "app.kubernetes.io/managed-by=slipway-deploy") == []

    async def test_one_of_several_containers_alone_is_changed(self, api: KubernetesApi, rollouts: Rollouts) -> None:
        """The other keeps its image, and each has a history of its own."""
        obj = workload(DEPLOYMENT, "a/b:1", replicas=0)
        pod_template(obj)["spec"]["containers"].append({"name": "sidecar", "image": "a/c:1"})
        await api.create(obj)
        sidecar = Workload(api, WorkloadName(DEPLOYMENT, "app"), "sidecar")
        image = rollouts.images["good"]
        await sidecar.set_image(image, version="1.0.0", run="r")
        state = await sidecar.confirm(image, version="1.0.0", run="r")
        images = [each["image"] for each in pod_template(state.obj)["spec"]["containers"]]
        assert images == ["a/b:1", image]
        other = await Workload(api, WorkloadName(DEPLOYMENT, "app"), "app").read()
        assert (other.history, other.pending, other.good) == ((), False, "a/b:1")

    async def test_pull_secrets_of_others_stay(self, api: KubernetesApi, rollouts: Rollouts) -> None:
        """The template's own; and where it names none, its service account's, which Kubernetes would drop then."""
        account = {"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "of-the-account"}]}
        await _create(api, SERVICE_ACCOUNT, account)
        theirs = workload(DEPLOYMENT, "a/b:1", name="theirs", replicas=0)
        pod_template(theirs)["spec"]["imagePullSecrets"] = [{"name": "of-the-template"}]
        bare = workload(DEPLOYMENT, "a/b:1", name="bare", replicas=0)
        pod_template(bare)["spec"]["serviceAccountName"] = "puller"
        for obj, other in ((theirs, "of-the-template"), (bare, "of-the-account")):
            await api.create(obj)
            name = WorkloadName(DEPLOYMENT, obj["metadata"]["name"])
            state, secret = await rollouts.set(name, "good")
            assert set(state.pull_secrets) == {secret.name, other}
            back = await Workload(api, name).put_back(state.image, "a/b:1", why="test", drop_secret=secret.name)
            assert (back.pull_secrets, back.image) == ((other,), "a/b:1")

    async def test_a_pull_secret_belongs_to_its_workload(self, api: KubernetesApi, rollouts: Rollouts) -> None:
        """It is written when it changes and not otherwise; one of somebody else is refused; one that was made goes."""
        name = await make(api, DEPLOYMENT, "a/b:1", replicas=0)
        state = await Workload(api, name).read()
        mine = PullSecret(api, state)
        assert await mine.put("r.example", rollouts.credential)
        assert not await PullSecret(api, state).put("r.example", rollouts.credential)
        there = await api.get(SECRET, mine.name)
        assert there is not None
        assert there["type"] == "kubernetes.io/dockerconfigjson"
        assert there["metadata"]["ownerReferences"][0]["uid"] == state.obj["metadata"]["uid"]
        await mine.restore()
        while await api.get(SECRET, mine.name) is not None:
            await asyncio.sleep(0.1)  # the cluster looks first whether something belongs to it
        await api.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": mine.name}})
        with pytest.raises(NotOurs, match=mine.name):
            await PullSecret(api, state).put("r.example", rollouts.credential)

    async def test_a_rollback_takes_an_image_out_of_promotion(self, api: KubernetesApi, rollouts: Rollouts) -> None:
        """What was rolled back is not rolled out, until it is again."""
        name = await make(api, DEPLOYMENT, "a/b:1", replicas=0)
        target, (good, better) = Workload(api, name), (rollouts.images[each] for each in ("good", "better"))
        for image, withdraw in ((good, False), (better, False), (good, True)):
            await target.set_image(image, version=None, run="r", rolling_back=withdraw)
            state = await target.confirm(image, version=None, run="r", withdraw=withdraw)
        assert state.rolled_out(rollouts.images.digests["better"]) is None
        assert state.rolled_out(rollouts.images.digests["good"]) is not None
        await target.set_image(better, version=None, run="r")
        state = await target.confirm(better, version=None, run="r")
        assert state.rolled_out(rollouts.images.digests["better"]) is not None
        assert len(json.loads(state.obj["metadata"]["annotations"]["slipway.dev/history"])) == 2

    async def test_a_partition_is_complete_with_its_part(self, api: KubernetesApi, rollouts: Rollouts) -> None:
        """As kubectl sees it: the pods below the partition keep their image."""
        await rollouts.roll(await make(api, STATEFUL_SET, rollouts.images["good"], replicas=2), "good")
        name = WorkloadName(STATEFUL_SET, "app")
        await api.merge(STATEFUL_SET, "app", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}})
        await rollouts.roll(name, "better")
        assert await running_images(api) == {rollouts.images["good"], rollouts.images["better"]}


async def _create(api: KubernetesApi, kind: Kind, obj: Object) -> Object:
    body = {"apiVersion": kind.api, "kind": kind.name, **obj}
    return await api._json(
        "create", kind, body["metadata"]["name"], method="POST", path=kind.path(api.namespace), body=body
    )
