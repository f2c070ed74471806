"""Rolling an image out to a workload."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class RolloutError(SlipwayError):
    pass


class RolloutCrashed(RolloutError):
    default_action = "its last lines stand above; mend the image or its configuration"


class RolloutOutOfMemory(RolloutError):
    default_action = "give the container a higher memory limit, or the program less to hold"


class RolloutImagePull(RolloutError):
    default_action = "check that the node reaches the registry, and the pull Secret (--pull-credentials)"


class RolloutProbeFailed(RolloutError):
    default_action = "see what the probe asks for, and whether it gives the program enough time to start"


class RolloutUnschedulable(RolloutError):
    default_action = "free or add a node, or ask for less (requests, node selector, tolerations)"


class RolloutVolumeMissing(RolloutError):
    default_action = (
        "see why its claim is not bound (`kubectl get pvc,storageclass`): a StorageClass that is not there?"
    )


class RolloutRefused(RolloutError):
    default_action = "the reason stands above; change the namespace's policy or quota, or what the workload asks for"


class RolloutDeadline(RolloutError):
    default_action = "look at the pods with `kubectl describe pod`; give it more time (--timeout-s) if nothing is wrong"


class RolloutSuperseded(RolloutError):
    default_action = "let one deploy at a time work on a workload; run the same command again if this image is the one"


class RolloutImpossible(RolloutError):
    default_action = "the reason stands above; change the workload, then run the same command again"


class NotPromoted(RolloutError):
    default_action = "roll it out in the environment before first (`slipway deploy`, `slipway promote`)"


class ReleaseUnknown(RolloutError):
    default_action = "name a version that was released (`slipway rollback --to VERSION`), or a digest"
