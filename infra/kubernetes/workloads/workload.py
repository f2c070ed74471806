"""The image of a workload's container: read it, set it, restore it, and record it on the object itself.

Every write is a strategic merge patch that names the version it was read at, by the field manager `slipway`: what
others manage in the object stays theirs, and nobody's change is overwritten unseen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from prefect_slipway.infra.domain.errors import ObjectConflict, ObjectMissing, RolloutImpossible, RolloutSuperseded
from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import CRON_JOB, SERVICE_ACCOUNT, Object
from prefect_slipway.infra.kubernetes.access.lease import timestamp
from prefect_slipway.infra.kubernetes.access.pods import condition
from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName

CONTAINER = "slipway.dev/container"
VERSION = "slipway.dev/version"
DIGEST = "slipway.dev/digest"
RUN = "slipway.dev/run"
PREVIOUS = "slipway.dev/previous"
ROLLING_BACK = "slipway.dev/rolling-back"
HISTORY = "slipway.dev/history"
"""Annotations of a workload: what Slipway set last, what ran before it, whether it is an earlier release that is on its
way back, and the rollouts that succeeded (JSON)."""
CHANGE_CAUSE = "kubernetes.io/change-cause"
"""What `kubectl rollout history` shows."""

_KEPT = 20
_TRIES = 5


@dataclass(frozen=True, slots=True)
class RolledOut:
    """A rollout that succeeded. `at`: RFC 3339. `withdrawn`: it was rolled back since."""

    image: str
    container: str
    at: str
    version: str | None = None
    run: str | None = None
    withdrawn: bool = False

    @property
    def digest(self) -> str | None:
        return ImageReference.parse(self.image).digest


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """A workload's record of one of its containers. `image`: as in the object.

    `previous`: what ran before Slipway's last write to this container, None if that is not known. `history`: of this
    container, newest first. `generation`: changes with each change of the workload's spec. `stale`: the
    condition `Progressing` as it stood when this process wrote the image, {} if it did not: of the rollout before.
    """

    name: WorkloadName
    namespace: str
    container: str
    image: str
    generation: int
    previous: str | None
    history: tuple[RolledOut, ...]
    obj: Object = field(repr=False, compare=False)
    stale: Object = field(default_factory=dict, repr=False, compare=False)

    @property
    def confirmed(self) -> bool:
        """Whether Slipway saw the image's rollout succeed, as the last one."""
        return bool(self.history) and self.history[0].image == self.image

    @property
    def pending(self) -> bool:
        """Whether Slipway set the image without seeing its rollout end: the run died, or is still working."""
        annotations = _annotations(self.obj)
        digest = annotations.get(DIGEST)
        ours = self.previous is not None and digest is not None
        return ours and self.image.endswith(f"@{digest}") and not self.confirmed

    @property
    def rolling_back(self) -> bool:
        """Whether the image is an earlier release on its way back, whose rollout nobody saw end."""
        return self.pending and ROLLING_BACK in _annotations(self.obj)

    @property
    def good(self) -> str:
        """The image to restore if the next one fails: the running one, or the one before a rollout without a known
        end."""
        return self.previous if self.pending and self.previous is not None else self.image

    def rolled_out(self, digest: str) -> RolledOut | None:
        """The newest rollout of an image that succeeded, None if there is none or it was withdrawn since."""
        found = next((each for each in self.history if each.digest == digest), None)
        return None if found is None or found.withdrawn else found

    @property
    def run(self) -> str | None:
        """The run that set an image here last."""
        return _annotations(self.obj).get(RUN)

    @property
    def pull_secrets(self) -> tuple[str, ...]:
        return tuple(each["name"] for each in pod_template(self.obj)["spec"].get("imagePullSecrets") or ())

    def version_of(self, image: str) -> str | None:
        """The version under which an image was rolled out here, if it was."""
        return next((each.version for each in self.history if each.image == image), None)


def pod_template(obj: Object) -> Object:
    """The template of the workload's pods."""
    spec = obj["spec"]
    template: Object = (spec["jobTemplate"]["spec"] if obj["kind"] == CRON_JOB.name else spec)["template"]
    return template


def service_account(obj: Object) -> str:
    """The account that the workload's pods have."""
    return pod_template(obj)["spec"].get("serviceAccountName") or "default"


class Workload:
    """One container of one workload. `container`: None for the only one.

    All methods raise ClusterErrors, and ObjectMissing where there is no such workload.
    """

    def __init__(self, api: KubernetesApi, name: WorkloadName, container: str | None = None) -> None:
        self.api = api
        self.name = name
        self._container = container

    async def read(self) -> WorkloadState:
        """Raises RolloutImpossible for a container that does not exist, or that was not named and is not
        the only one."""
        obj = await self.api.get(self.name.kind, self.name.name)
        if obj is None:
            raise ObjectMissing(
                f"{self.name} does not exist in namespace {self.api.namespace}",
                action="check --workload, --namespace and --context",
            )
        return self._state({"apiVersion": self.name.kind.api, "kind": self.name.kind.name, **obj})

    async def set_image(
        self,
        image: str,
        *,
        version: str | None,
        run: str,
        pull_secret: str | None = None,
        rolling_back: bool = False,
    ) -> WorkloadState:
        """Set the container's `image` (by digest), and record the previous image on the workload.

        `pull_secret`: a Secret that its pods pull with, besides those they have. `rolling_back`: it is an earlier
        release. Raises ObjectConflict when somebody else changes the workload all the time.
        """
        digest = ImageReference.parse(image).digest
        assert digest is not None, "images are set by digest"

        async def change(state: WorkloadState) -> Object:
            notes = {
                CONTAINER: state.container,
                VERSION: version,
                DIGEST: digest,
                RUN: run,
                PREVIOUS: state.good,
                ROLLING_BACK: "true" if rolling_back else None,
                CHANGE_CAUSE: f"slipway: {image} {version or ''}".rstrip() + f" (run {run})",
            }
            return self._patch(state, image, notes, await self._secrets(state, pull_secret))

        return await self._write(change)

    async def put_back(self, bad: str, good: str, *, why: str, drop_secret: str | None = None) -> WorkloadState:
        """Set the container's image back to `good`, the image before `bad`. `why`: the failure's name.

        `drop_secret`: a pull Secret that came with `bad`. Where `good` is there already nothing is written. Raises
        RolloutSuperseded if neither is.
        """
        there = await self.read()
        if there.image == good:
            return there

        async def change(state: WorkloadState) -> Object:
            if state.image != bad:
                raise RolloutSuperseded(f"{self.name} now runs {state.image}: it is not changed")
            notes = {
                VERSION: state.version_of(good),
                DIGEST: ImageReference.parse(good).digest,
                PREVIOUS: None,
                ROLLING_BACK: None,
                CHANGE_CAUSE: f"slipway: back to {good} ({why} of {bad})",
            }
            secrets = [{"$patch": "delete", "name": drop_secret}] if drop_secret in state.pull_secrets else []
            return self._patch(state, good, notes, secrets)

        return await self._write(change)

    async def confirm(self, image: str, *, version: str | None, run: str, withdraw: bool = False) -> WorkloadState:
        """Record that the rollout of `image` succeeded. `withdraw`: the previous image must not be promoted.

        No pod is touched. Raises RolloutSuperseded if another image is there by now.
        """

        async def change(state: WorkloadState) -> Object:
            if state.image != image:
                raise RolloutSuperseded(f"{self.name} now runs {state.image}, not {image}")
            history = _history(state.obj)
            if withdraw:
                history = [replace(each, withdrawn=each.withdrawn or each.image == state.previous) for each in history]
            done = RolledOut(image, state.container, timestamp(self.api.now()), version, run)
            others = [each for each in history if (each.container, each.image) != (done.container, image)]
            return {"metadata": {"annotations": {HISTORY: _as_text([done, *others][:_KEPT]), ROLLING_BACK: None}}}

        return await self._write(change)

    # ---------------------------------------------------------------------------------------------------------

    async def _write(self, change: Callable[[WorkloadState], Any]) -> WorkloadState:
        for _ in range(_TRIES):
            state = await self.read()
            patch = await change(state)
            # A status changes often and says nothing about what is changed here; the next try looks at all of it.
            patch["metadata"]["resourceVersion"] = state.obj["metadata"]["resourceVersion"]
            try:
                await self.api.merge(self.name.kind, self.name.name, patch, strategic=True)
            except ObjectConflict:
                continue
            # The write required exactly this version, so there is no other status in between.
            return replace(await self.read(), stale=condition(state.obj, "Progressing"))
        raise ObjectConflict(f"{self.name} changed {_TRIES} times while it was written")

    def _patch(self, state: WorkloadState, image: str, notes: dict[str, Any], secrets: list[Object]) -> Object:
        group, _ = _find(state.obj, state.container)
        spec: Object = {"template": {"spec": {group: [{"name": state.container, "image": image}]}}}
        if secrets:
            spec["template"]["spec"]["imagePullSecrets"] = secrets
        if self.name.kind == CRON_JOB:
            spec = {"jobTemplate": {"spec": spec}}
        return {"metadata": {"annotations": notes}, "spec": spec}

    async def _secrets(self, state: WorkloadState, added: str | None) -> list[Object]:
        if added is None:
            return []
        names = [added]
        if not state.pull_secrets:
            # Those of the service account are given only to pods that name none (ServiceAccount admission).
            there = await self.api.get(SERVICE_ACCOUNT, service_account(state.obj)) or {}
            names += [each["name"] for each in there.get("imagePullSecrets") or ()]
        return [{"name": name} for name in dict.fromkeys(names)]

    def _state(self, obj: Object) -> WorkloadState:
        container = self._container or self._only_container(obj)
        annotations = _annotations(obj)
        return WorkloadState(
            name=self.name,
            namespace=self.api.namespace,
            container=container,
            image=str(_find(obj, container)[1]["image"]),
            generation=int(obj["metadata"].get("generation") or 0),
            previous=annotations.get(PREVIOUS) if annotations.get(CONTAINER) == container else None,
            history=tuple(each for each in _history(obj) if each.container == container),
            obj=obj,
        )

    def _only_container(self, obj: Object) -> str:
        names = [each["name"] for each in pod_template(obj)["spec"]["containers"]]
        if len(names) > 1:
            raise RolloutImpossible(
                f"{self.name} has the containers {', '.join(names)}", action="choose one with --container"
            )
        return str(names[0])


def _find(obj: Object, container: str) -> tuple[str, Object]:
    """The list of the pod's specification that holds a container, and the container."""
    spec = pod_template(obj)["spec"]
    for group in ("containers", "initContainers"):
        for each in spec.get(group) or ():
            if each["name"] == container:
                return group, each
    names = ", ".join(each["name"] for each in spec["containers"])
    raise RolloutImpossible(
        f"{shown_object(obj)} has no container {container}", action=f"choose one of its containers: {names}"
    )


def shown_object(obj: Object) -> str:
    return f"{str(obj['kind']).lower()}/{obj['metadata']['name']}"


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def _history(obj: Object) -> list[RolledOut]:
    """An unreadable (edited) value counts as unknown."""
    try:
        return [RolledOut(**each) for each in json.loads(_annotations(obj).get(HISTORY) or "[]")]
    except (ValueError, TypeError):
        return []


def _as_text(history: list[RolledOut]) -> str:
    return json.dumps([{key: value for key, value in asdict(each).items() if value} for each in history])
