"""Small images pushed straight to a registry, for tests that need one to be there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from prefect_slipway.infra.registry.model import OCI_INDEX, OCI_MANIFEST
from tests.waiting import PATIENCE_S

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


class Pusher:
    """Pushes to one repository in plain HTTP; the caller closes it (a context manager)."""

    def __init__(self, host: str, repository: str, auth: tuple[str, str] | None) -> None:
        self._base = f"/v2/{repository}"
        self._http = httpx.Client(base_url=f"http://{host}", auth=auth, trust_env=False, timeout=PATIENCE_S)

    def __enter__(self) -> Pusher:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def blob(self, content: bytes) -> dict[str, Any]:
        """Push a blob; its digest and size, as a descriptor has them."""
        digest = _sha256(content)
        begun = self._http.post(f"{self._base}/blobs/uploads/").raise_for_status()
        upload = begun.url.join(begun.headers["Location"]).copy_add_param("digest", digest)
        done = self._http.put(upload, content=content)
        done.raise_for_status()
        return {"digest": digest, "size": len(content)}

    def image(
        self,
        *tags: str,
        labels: Mapping[str, str] | None = None,
        layers: Sequence[bytes] = (b"a layer",),
        command: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Push an image under tags, by digest if there are none; its descriptor. `layers`: uncompressed archives."""
        config = {
            "created": "2026-01-02T03:04:05Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(labels or {}), "Cmd": list(command)},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
            },
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": CONFIG_TYPE, **self.blob(json.dumps(config).encode())},
            "layers": [{"mediaType": LAYER_TYPE, **self.blob(layer)} for layer in layers],
        }
        return self._manifest(manifest, OCI_MANIFEST, tags)

    def attestation(self, image: Mapping[str, Any], **statements: tuple[str, bytes]) -> dict[str, Any]:
        """Push attestations about an image as BuildKit does (each a predicate's type and the statement), to be listed
        in an index for unknown/unknown; their descriptor."""
        layers = [
            {
                "mediaType": "application/vnd.in-toto+json",
                **self.blob(content),
                "annotations": {"in-toto.io/predicate-type": kind},
            }
            for kind, content in statements.values()
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": CONFIG_TYPE, **self.blob(b"{}")},
            "layers": layers,
        }
        about = {
            "vnd.docker.reference.digest": image["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        }
        return {**self._manifest(manifest, OCI_MANIFEST, ()), "annotations": about}

    def index(self, *tags: str, children: Sequence[tuple[Mapping[str, Any], str]]) -> dict[str, Any]:
        """Push an index of images and their `OS/ARCHITECTURE`; its descriptor."""
        entries = []
        for child, platform in children:
            system, _, architecture = platform.partition("/")
            entries.append({**child, "platform": {"os": system, "architecture": architecture}})
        return self._manifest({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, OCI_INDEX, tags)

    def _manifest(self, document: Mapping[str, Any], media_type: str, tags: Sequence[str]) -> dict[str, Any]:
        content = json.dumps(document).encode()
        digest = _sha256(content)
        for reference in tags or (digest,):
            self._http.put(
                f"{self._base}/manifests/{reference}", content=content, headers={"Content-Type": media_type}
            ).raise_for_status()
        return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
