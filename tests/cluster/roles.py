"""Service accounts that have one Role, and what is taken away from it."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from pathlib import Path

import yaml

from tests.cluster.conftest import kubectl, run_kubectl

ACCOUNT = "slipway-test"


def kubeconfig_with_role(namespace: str, folder: Path, role: Path, name: str = "slipway") -> Path:
    """A kubeconfig of a service account of its own that has this Role. `role`: a file with it; `name`: its name."""
    kubectl("-n", namespace, "create", "serviceaccount", ACCOUNT)
    kubectl("-n", namespace, "create", "--validate=false", "-f", str(role))
    account = f"--serviceaccount={namespace}:{ACCOUNT}"
    kubectl("-n", namespace, "create", "rolebinding", ACCOUNT, f"--role={name}", account)
    token = str(kubectl("-n", namespace, "create", "token", ACCOUNT)).strip()
    config = kubectl("config", "view", "--raw", "--minify", "-o", "json")
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    config["contexts"][0]["context"]["namespace"] = namespace
    path = folder / "account.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def revoked(namespace: str, role: str, resource: str, verbs: Collection[str]) -> None:
    """Take these verbs on a resource out of a Role, and wait until that holds."""
    rules = kubectl("-n", namespace, "get", "role", role, "-o", "json")["rules"]
    for rule in [rule for rule in rules if resource in rule["resources"]]:
        rule["resources"].remove(resource)
        rules.append({**rule, "resources": [resource], "verbs": [verb for verb in rule["verbs"] if verb not in verbs]})
    patch = json.dumps({"rules": [rule for rule in rules if rule["resources"] and rule["verbs"]]})
    kubectl("-n", namespace, "patch", "role", role, "--type=merge", "-p", patch)
    for verb in verbs:
        while _may(namespace, verb, resource):
            time.sleep(0.1)


def _may(namespace: str, verb: str, resource: str) -> bool:
    account = f"--as=system:serviceaccount:{namespace}:{ACCOUNT}"
    return run_kubectl("-n", namespace, "auth", "can-i", verb, resource, account).returncode == 0
