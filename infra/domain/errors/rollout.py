"""Rolling an image out to a workload."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class RolloutError(SlipwayError):
    pass


class RolloutCrashed(RolloutError):
    default_action = "fix the image or its configuration; the container's last lines are shown above"


class RolloutOutOfMemory(RolloutError):
    default_action = "raise the container's memory limit, or make the program use less memory"


class RolloutImagePull(RolloutError):
    default_action = "check that the node can reach the registry, and check the pull Secret (--pull-credentials)"


class RolloutProbeFailed(RolloutError):
    default_action = "check what the probe requests and whether it gives the program enough time to start"


class RolloutUnschedulable(RolloutError):
    default_action = "free or add a node, or relax the pod's requests, node selector or tolerations"


class RolloutVolumeMissing(RolloutError):
    default_action = (
        "find out why its claim is not bound (`kubectl get pvc,storageclass`): its StorageClass may not exist"
    )


class RolloutRefused(RolloutError):
    default_action = "the reason is shown above; change the namespace's policy or quota, or the workload's requests"


class RolloutDeadline(RolloutError):
    default_action = "look at the pods with `kubectl describe pod`; allow more time (--timeout-s) if nothing is wrong"


class NotFollowed(RolloutDeadline):
    default_action = "see what follows the repository in the cluster (Argo CD, Flux), and whether it can read it"


class RolloutSuperseded(RolloutError):
    default_action = "run one deploy of a workload at a time; run the same command again if you want this image"


class RolloutImpossible(RolloutError):
    default_action = "the reason is shown above; change the workload, then run the same command again"


class NotPromoted(RolloutError):
    default_action = "roll it out to the previous environment first (`slipway deploy`, `slipway promote`)"


class ReleaseUnknown(RolloutError):
    default_action = "choose a released version (`slipway rollback --to VERSION`) or a digest"
