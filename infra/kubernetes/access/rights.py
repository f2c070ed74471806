"""Check permissions in a namespace before anything is written, so that nothing is left half done.

One SelfSubjectRulesReview tells most of it. An authorizer need not tell its rules (a cloud provider's mostly does not),
so what the rules do not grant is checked one by one (SelfSubjectAccessReview), which is definite.
https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby

from prefect_slipway.infra.domain.errors import ClusterForbidden, ClusterProtocolError, ObjectMissing
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import (
    ACCESS_REVIEW,
    CRON_JOB,
    DEPLOYMENT,
    EVENT,
    LEASE,
    POD,
    REPLICA_SET,
    RULES_REVIEW,
    SECRET,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    Kind,
    Object,
    kind_of,
    name_of,
)

BUILDER_ROLE = "infra/kubernetes/role.yaml"
DEPLOY_ROLE = "infra/kubernetes/deploy-role.yaml"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A verb on a kind of objects, or on a part of them (`pods/exec`). `name`: "" for any object."""

    group: str
    resource: str
    verb: str
    name: str = ""

    @classmethod
    def on(cls, kind: Kind, verb: str, name: str = "", part: str = "") -> Right:
        return cls(kind.group, f"{kind.plural}/{part}" if part else kind.plural, verb, name)


def builder_rights(objects: Iterable[Object], *, forward: bool, session: bool = False) -> set[Right]:
    """The permissions for a builder: `objects` created, watched and removed. `forward`: it is reached by a
    port-forward; `session`: somebody opens a session in one of its pods.
    """
    rights = {
        *(Right.on(DEPLOYMENT, verb) for verb in ("list", "watch")),
        *(Right.on(LEASE, verb) for verb in ("list", "watch")),
        *(Right.on(REPLICA_SET, verb) for verb in ("list", "delete")),
        *(Right.on(POD, verb) for verb in ("list", "watch", "delete")),
    }
    for obj in objects:
        kind, name = kind_of(obj), name_of(obj)
        rights |= {Right.on(kind, "create"), Right.on(kind, "list")}
        # Pods are not changed.
        verbs = ("get", "delete") if kind is POD else ("get", "patch", "delete")
        rights |= {Right.on(kind, verb, name) for verb in verbs}
    if forward:
        rights.add(Right.on(POD, "create", part="portforward"))
    if session:
        rights |= {Right.on(POD, verb, part="exec") for verb in ("get", "create")}
    return rights


def rollout_rights(kind: Kind, name: str, pull_secret: str | None, service_account: str | None) -> set[Right]:
    """The permissions for a rollout of this workload. `pull_secret`: the name of the Secret it writes, None for none;
    `service_account`: the one whose pull Secrets are looked up for it.
    """
    rights = {Right.on(kind, "get", name), Right.on(kind, "patch", name)}
    if kind is not CRON_JOB:
        rights |= {Right.on(kind, verb, name) for verb in ("list", "watch")}
        rights |= {Right.on(POD, verb) for verb in ("list", "watch")}
        if kind is not DEPLOYMENT:
            rights |= {Right.on(EVENT, verb) for verb in ("list", "watch")}
        if kind is STATEFUL_SET:
            rights.add(Right.on(POD, "delete"))
    if pull_secret is not None:
        rights |= {Right.on(SECRET, verb, pull_secret) for verb in ("get", "patch", "delete")}
        rights.add(Right.on(SECRET, "create"))
    if service_account is not None:
        rights.add(Right.on(SERVICE_ACCOUNT, "get", service_account))
    return rights


async def check_rights(api: KubernetesApi, rights: Iterable[Right], *, role: str) -> None:
    """Check permissions. Raises ClusterForbidden with all missing ones. `role`: the file of the Role that suffices."""
    if missing := await missing_rights(api, rights):
        what = shown_rights(missing)
        raise ClusterForbidden(
            f"permissions are missing in namespace {api.namespace}: {what}",
            action=f"grant {what} (the whole Role: {role})",
        )


async def missing_rights(api: KubernetesApi, rights: Iterable[Right]) -> list[Right]:
    """The missing permissions; empty if the API server does not tell, which then shows at the first write."""
    try:
        told = await api.review(RULES_REVIEW, {"namespace": api.namespace})
        rules = told.get("resourceRules") or ()
        unclear = [right for right in sorted(set(rights)) if not any(_grants(rule, right) for rule in rules)]
        allowed = await asyncio.gather(*(_allowed(api, right) for right in unclear))
    except (ClusterForbidden, ClusterProtocolError, ObjectMissing):
        return []
    return [right for right, granted in zip(unclear, allowed, strict=True) if not granted]


def shown_rights(rights: Collection[Right]) -> str:
    """Permissions in the form for granting them: `get, patch on deployments.apps; create on pods/exec`."""

    def resource(right: Right) -> str:
        return f"{right.resource}.{right.group}" if right.group else right.resource

    parts = []
    for name, same in groupby(sorted(rights), key=resource):
        parts.append(f"{', '.join(dict.fromkeys(right.verb for right in same))} on {name}")
    return "; ".join(parts)


async def _allowed(api: KubernetesApi, right: Right) -> bool:
    resource, _, part = right.resource.partition("/")
    attributes = {
        "namespace": api.namespace,
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": part,
        "name": right.name,
    }
    return bool((await api.review(ACCESS_REVIEW, {"resourceAttributes": attributes})).get("allowed"))


def _grants(rule: Object, right: Right) -> bool:
    """A rule as RBAC reads it (kubernetes, pkg/apis/rbac/v1/evaluation_helpers.go)."""
    names = rule.get("resourceNames") or ()
    _, slash, part = right.resource.partition("/")
    resources = {"*", right.resource} | ({f"*/{part}"} if slash else set())
    return (
        not {"*", right.verb}.isdisjoint(rule.get("verbs") or ())
        and not {"*", right.group}.isdisjoint(rule.get("apiGroups") or ())
        and not resources.isdisjoint(rule.get("resources") or ())
        and (not names or right.name in names)
    )
