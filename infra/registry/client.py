"""A client of the OCI distribution API: what a release asks of a registry, apart from the pushing of layers.

Source: OCI distribution specification 1.1. Nothing is tried twice in here but the answer to a 401: retrying
is the caller's, who can wait and show it.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

from flows.domain.credentials import CredentialSource
from flows.domain.errors import (
    DigestMismatch,
    InvalidOption,
    ManifestUnknown,
    RegistryError,
    RegistryProtocolError,
    RepositoryUnknown,
    TagImmutable,
)
from flows.domain.reference import is_digest, is_loopback
from infra.registry.auth import Authenticator
from infra.registry.errors import error_of, transport_error
from infra.registry.model import MANIFEST_TYPES, Descriptor, Manifest, digest_of

_ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
_TAGS_PER_PAGE = "1000"
# As Go's net/http follows, which docker, containerd and buildkitd use.
MOST_REDIRECTS = 10
# A refusal without credentials, one with those that were just being rotated, and the answer.
_MAX_SENDS = 3


class RegistryClient:
    """One registry; an async context manager.

    Every method raises RegistryErrors, and what the credential source raises. `host`:
    `ImageReference.api_host`. `insecure`: plain HTTP and nothing else; HTTPS is not tried first. `ca_file`:
    PEM file of further CAs to trust, None for the system's alone. `timeout_s`: seconds without a byte until a
    request is given up.
    """

    def __init__(
        self,
        host: str,
        credentials: CredentialSource,
        *,
        insecure: bool,
        ca_file: Path | None,
        timeout_s: float = 30.0,
    ) -> None:
        self.host = host
        self._credentials = credentials
        self._insecure = insecure
        self._ca_file = ca_file
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(
            base_url=f"{'http' if self._insecure else 'https'}://{self.host}",
            verify=_tls_context(self._ca_file) if not self._insecure else False,
            timeout=httpx.Timeout(self._timeout_s, connect=min(10.0, self._timeout_s)),
            headers={"User-Agent": "slipway"},
            max_redirects=MOST_REDIRECTS,
            # A proxy of the environment has no business with this machine's own ports.
            trust_env=not is_loopback(self.host),
        )
        self._auth = Authenticator(self._http, self.host, self._credentials, insecure=self._insecure)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ping(self) -> None:
        """Find out whether this is a registry that takes the credentials."""
        await self._send("GET", "/v2/", scope="")

    async def check_push(self, repository: str) -> None:
        """Find out whether the credentials may push: an upload is begun and cancelled."""
        begun = await self._send("POST", f"/v2/{repository}/blobs/uploads/", scope=_push(repository))
        location = begun.headers.get("Location")
        if location:
            # Not every registry can cancel one; all drop what was never finished.
            with suppress(RegistryError):
                await self._send("DELETE", _own_path(begun, location), scope=_delete(repository))

    async def tags(self, repository: str) -> list[str]:
        """All tags, on however many pages; none for a repository that does not exist (yet)."""
        found: list[str] = []
        path: str | None = f"/v2/{repository}/tags/list?n={_TAGS_PER_PAGE}"
        seen: set[str] = set()
        while path is not None and path not in seen:
            seen.add(path)
            try:
                response = await self._send("GET", path, scope=_pull(repository))
            except (RepositoryUnknown, ManifestUnknown):
                return found
            found += self._json(response).get("tags") or []
            following = response.links.get("next", {}).get("url")
            path = _own_path(response, following) if following else None
        return found

    async def head(self, repository: str, reference: str) -> Descriptor | None:
        """What is there under a tag or digest, None if nothing is."""
        path = f"/v2/{repository}/manifests/{reference}"
        response = await self._request("HEAD", path, scope=_pull(repository), headers=_ACCEPT)
        if response.status_code == 404:
            return None
        if not response.is_success:
            raise error_of(response)
        digest = response.headers.get("Docker-Content-Digest", "")
        size = response.headers.get("Content-Length", "")
        if not is_digest(digest) or not size.isdecimal():
            return (await self.manifest(repository, reference)).descriptor
        return Descriptor(response.headers.get("Content-Type", ""), digest, int(size))

    async def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest under a tag or digest. Raises DigestMismatch if the bytes are not what was named."""
        path = f"/v2/{repository}/manifests/{reference}"
        response = await self._send("GET", path, scope=_pull(repository), headers=_ACCEPT)
        claimed = reference if is_digest(reference) else response.headers.get("Docker-Content-Digest", "")
        if is_digest(claimed):
            self._check_digest(response.content, claimed, path)
        return Manifest.parse(response.content, response.headers.get("Content-Type", ""))

    async def image_config(self, repository: str, manifest: Manifest) -> dict[str, Any]:
        """An image's configuration (`created`, `config.Labels`, ...), of an index's first image."""
        if manifest.is_index:
            images = [child for child in manifest.children if child.is_image]
            if not images:
                raise RegistryProtocolError(f"the index {manifest.digest} holds no image")
            manifest = await self.manifest(repository, images[0].digest)
        if not manifest.blobs:
            raise RegistryProtocolError(f"the manifest {manifest.digest} has no configuration")
        digest = manifest.blobs[0].digest
        path = f"/v2/{repository}/blobs/{digest}"
        response = await self._send("GET", path, scope=_pull(repository))
        self._check_digest(response.content, digest, path)
        return self._json(response)

    async def total_size(self, repository: str, manifest: Manifest) -> int:
        """Bytes of configurations and layers of an image or of all in an index, shared ones once."""
        manifests = [manifest]
        for child in manifest.children:
            manifests.append(await self.manifest(repository, child.digest))
        return sum({blob.digest: blob.size for each in manifests for blob in each.blobs}.values())

    async def put_tag(self, repository: str, tag: str, manifest: Manifest) -> None:
        """Let `tag` name `manifest`, byte for byte. Raises TagImmutable, unless the tag names it already."""
        path = f"/v2/{repository}/manifests/{tag}"
        headers = {"Content-Type": manifest.media_type}
        response = await self._request("PUT", path, scope=_push(repository), headers=headers, content=manifest.raw)
        if not response.is_success:
            error = error_of(response, tag_write=True)
            if isinstance(error, TagImmutable):
                held = await self.head(repository, tag)
                if held is not None and held.digest == manifest.digest:
                    return
            raise error
        stored = response.headers.get("Docker-Content-Digest", manifest.digest)
        if stored != manifest.digest:
            raise DigestMismatch(f"{self.host} stored {path} as {stored}, not as {manifest.digest}")

    async def delete_manifest(self, repository: str, digest: str) -> bool:
        """Try to delete a manifest; False if the registry did not do it (many do not allow it)."""
        try:
            path = f"/v2/{repository}/manifests/{digest}"
            await self._send("DELETE", path, scope=_delete(repository))
        except RegistryError:
            return False
        return True

    async def _send(
        self, method: str, path: str, *, scope: str, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        response = await self._request(method, path, scope=scope, headers=headers)
        if not response.is_success:
            raise error_of(response)
        return response

    async def _request(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        authorization = await self._auth.header(scope)
        for _ in range(_MAX_SENDS):
            sent = dict(headers or {})
            if authorization is not None:
                sent["Authorization"] = authorization
            try:
                # Blobs may come from elsewhere: httpx drops Authorization when a redirect leaves this origin
                # (scheme, host and port).
                response = await self._http.request(
                    method, path, headers=sent, content=content, follow_redirects=method in {"GET", "HEAD"}
                )
            except httpx.RequestError as error:
                raise transport_error(error, self.host, method) from error
            if response.status_code != 401 or not self.is_own(response.url):
                break
            offered = await self._auth.after_401(response, scope)
            if offered is None or offered == authorization:
                break
            authorization = offered
        return response

    def is_own(self, url: httpx.URL) -> bool:
        """Whether an answer is the registry's own: to no other is a password offered, nor to itself in plain HTTP."""
        own = self._http.base_url
        return (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port)

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = json.loads(response.content)
            if not isinstance(answer, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise RegistryProtocolError(
                f"{self.host} answered {response.request.url.path} with something that is no JSON object"
            ) from error
        return answer

    def _check_digest(self, content: bytes, digest: str, path: str) -> None:
        actual = digest_of(content, digest.partition(":")[0])
        if actual != digest:
            raise DigestMismatch(f"{self.host}{path}: the bytes' digest is {actual}, not {digest}")


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _push(repository: str) -> str:
    return f"repository:{repository}:pull,push"


def _delete(repository: str) -> str:
    return f"repository:{repository}:delete"


def _own_path(response: httpx.Response, link: str) -> str:
    """Path and query of a link a registry gave, whose host it may know by another name than its users."""
    return response.url.join(link).raw_path.decode("ascii")


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.load_default_certs()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidOption(
                f"{ca_file} is not a readable file of PEM certificates", action="name the registry's CA"
            ) from error
    return context
