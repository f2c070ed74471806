"""Registry credentials in a Secret of the type docker-registry."""

from __future__ import annotations

import base64
import json

from prefect_slipway.infra.common.docker_auths import credential_of, entry_of, key_of
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import ClusterProtocolError
from prefect_slipway.infra.domain.reference import normalize_registry_host
from prefect_slipway.infra.kubernetes.access.kinds import Object

DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"
"""The type of such a Secret."""
KEY = ".dockerconfigjson"

Auths = dict[str, Credential]


def docker_config(auths: Auths) -> str:
    """The text of a `config.json` as docker and buildctl read it."""
    return json.dumps({"auths": {key_of(host): entry_of(auths[host]) for host in sorted(auths)}})


def parse_docker_config(text: str) -> Auths:
    """The credentials in it, by host. Raises ClusterProtocolError."""
    try:
        found = {normalize_registry_host(key): credential_of(entry) for key, entry in json.loads(text)["auths"].items()}
    except (ValueError, KeyError, AttributeError, TypeError):
        found = {"": None}
    auths = {host: credential for host, credential in found.items() if credential is not None}
    if len(auths) < len(found):
        # Outside of the block above: its error may hold the text, which is a secret.
        raise ClusterProtocolError(
            "the registry Secret contains no docker configuration", action="delete it and run the same command again"
        )
    return auths


def auths_of(secret: Object) -> Auths:
    """The credentials in a Secret, none in one without data. Raises ClusterProtocolError."""
    encoded = (secret.get("data") or {}).get(KEY)
    return parse_docker_config(base64.b64decode(encoded).decode("utf-8", "replace")) if encoded else {}
