"""What verifies signatures in a cluster: admission policies, and the nodes' own policy.

Sources: sigstore/policy-controller (`key.secretRef` of a ClusterImagePolicy) and cosign's `--key k8s://NAMESPACE/NAME`,
which read a Secret with `cosign.pub`; containers/image `docs/containers-policy.json.5.md` (`sigstoreSigned`) and
`docs/containers-registries.d.5.md` (`use-sigstore-attachments`), which podman, CRI-O, skopeo and buildah follow.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from prefect_slipway.infra.domain.signing import PublicKey

_ACCEPT_ANYTHING = "insecureAcceptAnything"


def public_key_secret(key: PublicKey, *, name: str, namespace: str) -> dict[str, Any]:
    """The Secret that cosign and policy-controller read a public key from: one key each."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {"cosign.pub": _base64(key.pem)},
    }


def policy_json(keys: Mapping[str, Sequence[PublicKey]], *, others: str = _ACCEPT_ANYTHING) -> dict[str, Any]:
    """A node's `policy.json`.

    `keys`: by image name (HOST/REPOSITORY) or a part of it (HOST/TEAM, HOST), the keys of which one must have signed.
    `others`: what happens to all other images, `insecureAcceptAnything` or `reject`.
    """
    return {
        "default": [{"type": others}],
        "transports": {"docker": {scope: [_signed_by(trusted)] for scope, trusted in keys.items()}},
    }


def registries_d(scopes: Sequence[str]) -> dict[str, Any]:
    """A file of `registries.d`, without which no signature is looked for in the registry: JSON is YAML."""
    return {"docker": {scope: {"use-sigstore-attachments": True} for scope in scopes}}


def _signed_by(keys: Sequence[PublicKey]) -> dict[str, Any]:
    data = [_base64(key.pem) for key in keys]
    return {
        "type": "sigstoreSigned",
        # Readers before containers/image 5.33 know `keyData` alone.
        **({"keyData": data[0]} if len(data) == 1 else {"keyDatas": data}),
        # The signature names the repository and no tag: it is made before there is one.
        "signedIdentity": {"type": "matchRepository"},
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
