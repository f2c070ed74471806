"""Registry credentials in a Secret of the type docker-registry."""

from __future__ import annotations

import base64
import binascii
import json

from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import ClusterProtocolError
from prefect_slipway.infra.kubernetes.access.kinds import Object

DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"
"""The type of such a Secret."""
KEY = ".dockerconfigjson"

_DOCKER_HUB = "https://index.docker.io/v1/"  # what docker's and buildctl's config calls docker.io

Auths = dict[str, Credential]


def docker_config(auths: Auths) -> str:
    """The text of a `config.json` as docker and buildctl read it."""
    entries = {}
    for host, credential in sorted(auths.items()):
        pair = base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode("ascii")
        entries[_DOCKER_HUB if host == "docker.io" else host] = {
            "username": credential.username,
            "password": credential.password,
            "auth": pair,
        }
    return json.dumps({"auths": entries})


def parse_docker_config(text: str) -> Auths:
    """The credentials in it, by host. Raises ClusterProtocolError."""
    try:
        auths = {}
        for host, entry in json.loads(text)["auths"].items():
            user, password = entry.get("username"), entry.get("password")
            if user is None or password is None:
                user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            auths["docker.io" if host == _DOCKER_HUB else host] = Credential(user, password)
    except (ValueError, KeyError, AttributeError, TypeError, binascii.Error):
        raise ClusterProtocolError(
            "the registry Secret holds no docker configuration", action="delete it and run the same command again"
        ) from None  # the text is a secret
    return auths


def auths_of(secret: Object) -> Auths:
    """The credentials in a Secret, none in one without data. Raises ClusterProtocolError."""
    encoded = (secret.get("data") or {}).get(KEY)
    return parse_docker_config(base64.b64decode(encoded).decode("utf-8", "replace")) if encoded else {}
