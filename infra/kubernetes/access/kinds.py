"""The kinds of objects that Slipway creates, and their API paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as the API writes it in JSON."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`name`: as in an object's `kind`; `api`: its `apiVersion`; `plural`: as in the API's paths and in Roles;
    `namespaced`: False for what belongs to the cluster."""

    name: str
    api: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group, "" for the core one."""
        return self.api.partition("/")[0] if "/" in self.api else ""

    @property
    def resource(self) -> str:
        """As kubectl names it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str = "") -> str:
        """The path of one object, or of all in a namespace."""
        root = f"/apis/{self.api}" if self.group else f"/api/{self.api}"
        collection = f"{root}/namespaces/{namespace}/{self.plural}" if self.namespaced else f"{root}/{self.plural}"
        return f"{collection}/{name}" if name else collection


DEPLOYMENT = Kind("Deployment", "apps/v1", "deployments")
REPLICA_SET = Kind("ReplicaSet", "apps/v1", "replicasets")
POD = Kind("Pod", "v1", "pods")
SERVICE = Kind("Service", "v1", "services")
SECRET = Kind("Secret", "v1", "secrets")
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps")
NETWORK_POLICY = Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies")
CLAIM = Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
STATEFUL_SET = Kind("StatefulSet", "apps/v1", "statefulsets")
DAEMON_SET = Kind("DaemonSet", "apps/v1", "daemonsets")
CRON_JOB = Kind("CronJob", "batch/v1", "cronjobs")
SERVICE_ACCOUNT = Kind("ServiceAccount", "v1", "serviceaccounts")
NAMESPACE = Kind("Namespace", "v1", "namespaces", namespaced=False)
EVENT = Kind("Event", "v1", "events")
RULES_REVIEW = Kind("SelfSubjectRulesReview", "authorization.k8s.io/v1", "selfsubjectrulesreviews")
ACCESS_REVIEW = Kind("SelfSubjectAccessReview", "authorization.k8s.io/v1", "selfsubjectaccessreviews")

KINDS = (LEASE, DEPLOYMENT, REPLICA_SET, POD, SERVICE, SECRET, CONFIG_MAP, NETWORK_POLICY, CLAIM)
"""All kinds that can bear a run's label: what cleaning up looks at."""

WORKLOADS = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, CRON_JOB)
"""The kinds whose pods an image is deployed to."""


def kind_of(obj: Object) -> Kind:
    """The kind of an object. Raises KeyError for one that Slipway does not know."""
    return {kind.name: kind for kind in (*KINDS, *WORKLOADS)}[obj["kind"]]


def name_of(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def shown(kind: Kind, name: str) -> str:
    """An object as kubectl names it: `secret/registry-creds`."""
    return f"{kind.name.lower()}/{name}"
