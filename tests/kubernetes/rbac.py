"""What RBAC lets through, for a Kubernetes in this process: what a Role says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

import infra.kubernetes
from tests.kubernetes.store import Store

Right = tuple[str, str]
"""Resource and verb, as a Role writes them."""
_ROLE = Path(infra.kubernetes.__file__).parent / "role.yaml"
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}


class Authorizer:
    """A server's `fault` that answers 403 as the API server does to what `role` does not grant.

    `used`: the rights that were needed. `then`: a further fault.
    """

    def __init__(
        self, role: dict[str, Any], store: Store, then: Callable[[web.Request], Any] = lambda request: None
    ) -> None:
        self._granted = granted(role)
        self._store = store
        self._then = then
        self.used: set[Right] = set()

    def __call__(self, request: web.Request) -> web.StreamResponse | None:
        group, resource, rights = self._needed(request)
        for verb in rights:
            self.used.add((resource, verb))
            if (group, resource, verb) not in self._granted:
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


def least_role() -> dict[str, Any]:
    """The Role that is shipped for releases."""
    found: dict[str, Any] = next(yaml.safe_load_all(_ROLE.read_text()))
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
