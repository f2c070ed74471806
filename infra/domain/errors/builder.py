"""Builders, wherever they live."""

from __future__ import annotations

from typing import Any

from prefect_slipway.infra.domain.errors.base import SlipwayError


class BuilderError(SlipwayError):
    pass


class BuilderUnreachable(BuilderError):
    retryable = True
    default_action = (
        "check the address in --builder; `slipway doctor` tests the embedded builder, `slipway up` starts it"
    )


class BuilderTlsError(BuilderError):
    default_action = "check the builder's CA, client certificate and server name"


class BuilderLost(BuilderError):
    retryable = True
    default_action = "look at the daemon's log; it is safe to run the same command again"


class BuilderConflict(BuilderError):
    """`record`: id of the cache's record whose snapshot is gone; `pruned`: whether it was removed, so that the next
    build makes it again."""

    retryable = True
    default_action = "run the command again; if it fails in the same way, once with --no-cache"

    def __init__(self, cause: str, *, record: str = "", **more: Any) -> None:
        super().__init__(cause, **more)
        self.record = record
        self.pruned = False


class BuilderTooOld(BuilderError):
    default_action = "use BuildKit 0.12 or newer"


class BuilderDiskFull(BuilderError):
    default_action = "free space on the builder (`slipway builder prune`) or give it a larger disk"


class BuilderProtocolError(BuilderError):
    default_action = "check that the address belongs to a BuildKit daemon"


class BuilderImagePull(BuilderError):
    default_action = "check the builder's image and the pull secrets for its registry"


class BuilderUnschedulable(BuilderError):
    default_action = "free or add a node, or relax the pod's requests, node selector or tolerations"


class BuilderVolumeMissing(BuilderError):
    default_action = (
        "choose a StorageClass of the cluster (`kubectl get storageclass`) with --builder-option storage_class=NAME, "
        "or keep the cache in the pod (cache_persistent=false)"
    )


class BuilderRefused(BuilderError):
    default_action = "the reason is shown above; change the namespace's policy or quota, or the builder's options"


class BuilderCrashed(BuilderError):
    default_action = "its last lines are shown above; rootless BuildKit needs user namespaces on the node"


class BuilderDied(BuilderError):
    retryable = True
    default_action = "it is safe to run the same command again; the daemon's last lines, if any, are shown above"


class BuilderOutOfMemory(BuilderError):
    default_action = (
        "raise its limit (--builder-option memory_limit=SIZE), or make the build use less (for example fewer "
        "parallel jobs)"
    )


class BuilderEvicted(BuilderError):
    retryable = True
    default_action = (
        "it is safe to run the same command again; a pod that requests the memory it uses is evicted less often"
    )


class BuilderDeleted(BuilderError):
    retryable = True
    default_action = "it is safe to run the same command again"


class BuilderNodeLost(BuilderError):
    retryable = True
    default_action = "it is safe to run the same command again; look at the node"


class BuilderNotReady(BuilderError):
    default_action = (
        "look at the pod with `kubectl describe pod`; give it more time (--builder-option ready_s=SECONDS) "
        "if nothing is wrong"
    )


class PlatformUnavailable(BuilderError):
    default_action = (
        "add a node with such a processor to --builder, or use --emulate, which also allows what a Dockerfile "
        "cross-compiles"
    )
