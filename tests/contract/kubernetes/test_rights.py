"""Rights are asked for before anything is written, by an API server that grants what a Role says."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from prefect_slipway.infra.domain.errors import ClusterForbidden, NotOurs
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    POD,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    kind_of,
    name_of,
)
from prefect_slipway.infra.kubernetes.access.rights import (
    Right,
    builder_rights,
    missing_rights,
    rollout_rights,
    shown_rights,
)
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.preflight import check_place, planned_objects
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Cache, Run
from tests.kubernetes.rbac import Authorizer, granted, least_role
from tests.kubernetes.server import KubernetesServer

RUN = Run("a1b2")
FULL = BuilderSpec(lifetime="shared", cache=Cache(persistent=True))
# What is asked for by few clusters, and what only tells more of a failure.
EXTRA = {("coordination.k8s.io", "leases/finalizers", "update"), ("", "pods/log", "get")}
# A WebSocket, where a proxy lets no SPDY through.
FALLBACK = {("", "pods/portforward", "get")}


@pytest.fixture
def engine_socket() -> None:
    """Nothing runs behind the objects."""


def plain(rights: set[Right]) -> set[tuple[str, str, str]]:
    return {(right.group, right.resource, right.verb) for right in rights}


def written(kubernetes: KubernetesServer) -> list[tuple[str, str]]:
    """The requests that change something."""
    return [asked for asked in kubernetes.requests if asked[0] != "GET" and "authorization.k8s.io" not in asked[1]]


def test_what_is_asked_for_is_what_the_roles_grant() -> None:
    """The files and the questions tell the same story."""
    asked = plain(builder_rights(planned_objects(FULL, RUN), forward=True))
    assert granted(least_role()) - asked == EXTRA | FALLBACK
    assert asked <= granted(least_role())
    shell = plain(builder_rights(planned_objects(FULL, RUN, session=True), forward=True, session=True)) - asked
    assert shell == granted(least_role("slipway-shell"))
    kinds = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, CRON_JOB)
    deploys = set().union(*(plain(rollout_rights(kind, "app", "pull", "default")) for kind in kinds))
    assert granted(least_role("slipway-deploy")) - deploys == {("", "pods/log", "get")}
    assert deploys <= granted(least_role("slipway-deploy"))


@pytest.mark.parametrize("tells", [True, False], ids=["rules told", "asked one by one"])
async def test_each_right_that_is_missing_is_named_and_nothing_is_written(
    kubernetes: KubernetesServer, api: KubernetesApi, tells: bool
) -> None:
    """Whichever it is, and all of them at once; also where the authorizer does not tell its rules."""
    asked = sorted(plain(builder_rights(planned_objects(FULL, RUN), forward=True)))
    for group, resource, verb in asked:
        kubernetes.fault = authorizer = Authorizer(least_role(), kubernetes.store, tells=tells)
        authorizer.without(resource, verb)
        with pytest.raises(ClusterForbidden) as raised:
            await KubernetesBuilder(api, FULL, RUN, source="s").provision()
        name = f"{resource}.{group}" if group else resource
        assert raised.value.cause.endswith(f"missing in namespace default: {verb} on {name}")
        assert f"grant {verb} on {name}" in raised.value.action
    kubernetes.fault = authorizer = Authorizer(least_role(), kubernetes.store, tells=tells)
    authorizer.without("secrets", "delete", "patch")
    authorizer.without("leases", "delete")
    with pytest.raises(ClusterForbidden, match=r"delete, patch on secrets; delete on leases\.coordination\.k8s\.io"):
        await KubernetesBuilder(api, FULL, RUN, source="s").provision()
    assert written(kubernetes) == []
    assert len(kubernetes.store.objects) == 0


async def test_what_a_builder_does_not_need_is_not_asked_for(kubernetes: KubernetesServer, api: KubernetesApi) -> None:
    """No volume without a cache on one, no port-forward within the cluster."""
    kubernetes.fault = authorizer = Authorizer(least_role(), kubernetes.store)
    authorizer.without("persistentvolumeclaims")
    authorizer.without("pods/portforward")
    await check_place(api, BuilderSpec(), RUN, forward=False)
    with pytest.raises(ClusterForbidden, match="create on pods/portforward"):
        await check_place(api, BuilderSpec(), RUN, forward=True)


async def test_rights_on_one_object_alone_suffice_for_it(kubernetes: KubernetesServer, api: KubernetesApi) -> None:
    """A rule with resourceNames."""
    rules = [{"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"], "resourceNames": ["app"]}]
    kubernetes.fault = Authorizer({"rules": rules}, kubernetes.store)
    mine, other = Right.on(DEPLOYMENT, "patch", "app"), Right.on(DEPLOYMENT, "patch", "other")
    assert await missing_rights(api, [mine, other, Right.on(POD, "list")]) == [Right.on(POD, "list"), other]


@pytest.mark.parametrize("code", [403, 404])
async def test_who_may_not_ask_goes_on(kubernetes: KubernetesServer, api: KubernetesApi, code: int) -> None:
    """An API server without these reviews, or that keeps them to itself: the first write tells."""

    def silent(request: web.Request) -> web.Response | None:
        reviewed = "authorization.k8s.io" in request.path
        return web.json_response({"kind": "Status", "code": code}, status=code) if reviewed else None

    kubernetes.fault = silent
    await check_place(api, FULL, RUN, forward=True)


def test_rights_are_shown_as_they_are_granted() -> None:
    rights = [
        Right.on(DEPLOYMENT, "patch", "a"),
        Right.on(DEPLOYMENT, "get", "a"),
        Right.on(POD, "create", part="exec"),
    ]
    assert shown_rights(rights) == "create on pods/exec; get, patch on deployments.apps"
    assert shown_rights([Right.on(SERVICE_ACCOUNT, "get")]) == "get on serviceaccounts"


@pytest.mark.parametrize("obj", planned_objects(FULL, RUN, session=True)[1:], ids=name_of)
async def test_somebody_elses_object_is_met_before_anything_is_written(
    kubernetes: KubernetesServer, api: KubernetesApi, obj: dict[str, Any]
) -> None:
    """Whichever of them it is, the last one as well."""
    key = (kind_of(obj).plural, "default", name_of(obj))
    theirs = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": {"name": name_of(obj), "labels": {}}}
    theirs["spec"] = {"replicas": 0, "template": {"metadata": {"labels": {}}}}
    kubernetes.store.create(key, theirs)
    with pytest.raises(NotOurs, match=f"{obj['kind'].lower()}/{name_of(obj)}"):
        await KubernetesBuilder(api, FULL, RUN, source="s", session=True).provision()
    assert written(kubernetes) == []
    # A Deployment's dependents are the controller's work.
    assert [each for each in kubernetes.store.objects if each[0] not in {"replicasets", "pods"} or each == key] == [key]
