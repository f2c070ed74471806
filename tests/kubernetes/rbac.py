"""What RBAC lets through, for a Kubernetes in this process: what a Role says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

import prefect_slipway.infra.kubernetes
from tests.kubernetes.store import Store

Right = tuple[str, str]
"""Resource and verb, as a Role writes them."""
_ROLES = Path(prefect_slipway.infra.kubernetes.__file__).parent
ALL = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}


class Authorizer:
    """A server's `fault` that answers 403 as the API server does to what `role` does not grant.

    `used`: the rights that were needed. `then`: a further fault. `tells`: whether it tells its rules, which not every
    authorizer does. `token`: of the only one that it judges, None for all.
    """

    def __init__(
        self,
        role: dict[str, Any],
        store: Store,
        then: Callable[[web.Request], Any] = lambda request: None,
        *,
        tells: bool = True,
        token: str | None = None,
    ) -> None:
        self._role = role
        self._tells = tells
        self._token = token
        self._store = store
        self._then = then
        self.used: set[Right] = set()

    def judges(self, request: web.Request) -> bool:
        return self._token is None or request.headers.get("Authorization") == f"Bearer {self._token}"

    def told(self) -> list[dict[str, Any]]:
        """The rules, as a SelfSubjectRulesReview tells them."""
        return list(self._role["rules"]) if self._tells else []

    def grants(self, group: str, resource: str, verb: str) -> bool:
        return (group, resource, verb) in granted(self._role)

    def without(self, resource: str, *verbs: str) -> None:
        """Grant these verbs (none: all) on the resource no longer."""
        for rule in list(self._role["rules"]):
            if resource in rule["resources"]:
                rule["resources"].remove(resource)
                left = [verb for verb in rule["verbs"] if verbs and verb not in verbs]
                self._role["rules"].append({**rule, "resources": [resource], "verbs": left})

    def __call__(self, request: web.Request) -> web.StreamResponse | None:
        # Anybody may ask what he may.
        if "/authorization.k8s.io/" in request.path or not self.judges(request):
            return None
        group, resource, rights = self._needed(request)
        for verb in rights:
            self.used.add((resource, verb))
            if not self.grants(group, resource, verb):
                return _forbidden(group, resource, verb)
        answer: web.StreamResponse | None = self._then(request)
        return answer

    def _needed(self, request: web.Request) -> tuple[str, str, list[str]]:
        """API group, resource and verbs; k8s.io/apiserver, pkg/endpoints/request/requestinfo.go."""
        parts = request.path.strip("/").split("/")
        at = parts.index("namespaces")
        namespace, plural, name, sub = [*parts[at + 1 :], "", ""][:4]
        group = parts[1] if parts[0] == "apis" else ""
        resource = f"{plural}/{sub}" if sub else plural
        if request.method == "GET":
            watched = "watch" if request.query.get("watch") == "true" else "list"
            return group, resource, ["get" if name else watched]
        verbs = [_VERBS[request.method]]
        if request.method == "PATCH" and (plural, namespace, name) not in self._store.objects:
            verbs.append("create")  # what is applied and not there
        return group, resource, verbs


def least_role(name: str = "slipway") -> dict[str, Any]:
    """A Role that is shipped: for releases, `slipway-shell`, `slipway-deploy`."""
    files = [_ROLES / "role.yaml", _ROLES / "deploy-role.yaml"]
    roles = [role for file in files for role in yaml.safe_load_all(file.read_text())]
    found: dict[str, Any] = next(role for role in roles if role["metadata"]["name"] == name)
    return found


def granted(role: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _forbidden(group: str, resource: str, verb: str) -> web.Response:
    message = (
        f'{resource} is forbidden: User "u" cannot {verb} resource "{resource}" in API group "{group}" in the '
        'namespace "default"'
    )
    status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": message}
    return web.json_response(status, status=403)
