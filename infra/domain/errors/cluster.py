"""Kubernetes' API."""

from __future__ import annotations

from prefect_slipway.infra.domain.errors.base import SlipwayError


class ClusterError(SlipwayError):
    pass


class KubeconfigInvalid(ClusterError):
    default_action = "check KUBECONFIG and --context (`kubectl config get-contexts`)"


class ClusterUnreachable(ClusterError):
    retryable = True
    default_action = "check the network and the API server's address in the kubeconfig"


class ClusterTlsError(ClusterError):
    default_action = "check `certificate-authority` in the kubeconfig"


class ClusterUnauthorized(ClusterError):
    default_action = "log in to the cluster again (`kubectl auth whoami`)"


class ClusterForbidden(ClusterError):
    default_action = "give this user the Role in infra/kubernetes/role.yaml"


class ClusterRefused(ClusterError):
    default_action = "the reason is shown above; change the options, or the namespace's policy or quota"


class NamespaceMissing(ClusterError):
    default_action = "create the namespace (`kubectl create namespace`), or choose another with --namespace"


class NamespaceTerminating(ClusterError):
    default_action = "wait until the namespace is gone and create it again, or choose another with --namespace"


class ObjectMissing(ClusterError):
    default_action = "somebody removed the object; run the same command again"


class ObjectConflict(ClusterError):
    retryable = True
    default_action = "run the same command again"


class NotOurs(ClusterError):
    default_action = "remove or rename the object, or choose another namespace or builder name"


class WatchExpired(ClusterError):
    retryable = True
    default_action = "run the same command again"


class ClusterThrottled(ClusterError):
    retryable = True
    default_action = "wait, then run the same command again: the API server limits requests"


class ClusterUnavailable(ClusterError):
    retryable = True
    default_action = "the API server failed; run the same command again later"


class ClusterProtocolError(ClusterError):
    default_action = "check that the address belongs to a Kubernetes API server"


class Leftovers(ClusterError):
    default_action = "see what blocks their deletion (finalizers); `slipway sweep` tries again"
