"""Builders, wherever they live."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class BuilderError(SlipwayError):
    pass


class BuilderUnreachable(BuilderError):
    retryable = True
    default_action = "check the address given by --builder; `slipway doctor` tries it, `slipway up` starts one"


class BuilderTlsError(BuilderError):
    default_action = "check the CA, the client certificate and the server name of the builder"


class BuilderLost(BuilderError):
    retryable = True
    default_action = "look at the daemon's log; running the same command again is safe"


class BuilderTooOld(BuilderError):
    default_action = "use BuildKit 0.12 or newer"


class BuilderDiskFull(BuilderError):
    default_action = "free space on the builder (`slipway builder prune`), or give it a larger disk"


class BuilderProtocolError(BuilderError):
    default_action = "is this the address of a BuildKit daemon?"


class BuilderImagePull(BuilderError):
    default_action = "check the builder's image, and the pull secrets for its registry"


class BuilderUnschedulable(BuilderError):
    default_action = "free or add a node, or ask for less (requests, node selector, tolerations)"


class BuilderVolumeMissing(BuilderError):
    default_action = (
        "name a StorageClass that the cluster has (`kubectl get storageclass`) by --builder-option storage_class=NAME, "
        "or keep the cache in the pod (cache_persistent=false)"
    )


class BuilderRefused(BuilderError):
    default_action = "the reason stands above; change the namespace's policy or quota, or what the builder asks for"


class BuilderCrashed(BuilderError):
    default_action = "its last lines stand above; rootless BuildKit needs user namespaces on the node"


class BuilderDied(BuilderError):
    retryable = True
    default_action = "running the same command again is safe; its last lines, if it wrote any, are shown above"


class BuilderOutOfMemory(BuilderError):
    default_action = (
        "give it a higher limit (--builder-option memory_limit=SIZE), or let the build take less (fewer jobs at once)"
    )


class BuilderEvicted(BuilderError):
    retryable = True
    default_action = "running the same command again is safe; a request for what it needs keeps a pod on its node"


class BuilderDeleted(BuilderError):
    retryable = True
    default_action = "running the same command again is safe"


class BuilderNodeLost(BuilderError):
    retryable = True
    default_action = "running the same command again is safe; look at the node"


class BuilderNotReady(BuilderError):
    default_action = "look at it with `kubectl describe pod`; give it more time if nothing is wrong"
