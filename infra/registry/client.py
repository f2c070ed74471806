"""A client of the OCI distribution API, for all that a release needs besides pushing layers.

Source: OCI distribution specification 1.1. Nothing is tried twice in here but the answer to a 401, and the look at what
was just written: retrying is the caller's, who can wait and show it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

import httpx

from prefect_slipway.infra.domain.credentials import CredentialSource
from prefect_slipway.infra.domain.errors import (
    DigestMismatch,
    ManifestUnknown,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
    RepositoryUnknown,
    TagImmutable,
)
from prefect_slipway.infra.domain.reference import is_digest
from prefect_slipway.infra.registry.answers import claimed_digest, descriptor_of, next_page, tags_of, upload_of
from prefect_slipway.infra.registry.errors import code_of
from prefect_slipway.infra.registry.model import (
    MANIFEST_TYPES,
    OCI_MANIFEST,
    Descriptor,
    ImageConfig,
    Manifest,
    digest_of,
)
from prefect_slipway.infra.registry.wire import MOST_BYTES, Wire

_ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
_TAGS_PER_PAGE = "1000"
# Registries without pages give all tags at once.
_MOST_OF_TAGS = 32 << 20
_MOST_PAGES = 10_000
# Manifests that are not read again: their number, and the bytes of one.
_MOST_KEPT, _MOST_KEPT_BYTES = 1000, 1 << 16
# What a registry says to a manifest that it would store if it were right.
_REFUSED_FOR_ITS_CONTENT = {
    "DIGEST_INVALID",
    "MANIFEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "TAG_INVALID",
    "SIZE_INVALID",
}
_NOBODYS_DIGEST = f"sha256:{'0' * 64}"
# Seconds until a tag that was written has to show: some registries have a cache before their store.
_SHOWS_AFTER_S = (0.0, 0.1, 0.4, 1.0, 2.0)


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
        self._manifests: dict[tuple[str, str], Manifest] = {}
        self._blobs: set[tuple[str, str]] = set()
        self._wire = Wire(host, credentials, insecure=insecure, ca_file=ca_file, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.__aexit__()

    def now(self) -> float:
        """Seconds since the epoch by the registry's own clock, once it has answered; by this machine's before."""
        return self._wire.now()

    async def ping(self) -> None:
        """Check that this is a registry that accepts the credentials."""
        await self._send("GET", "/v2/", scope="")

    async def check_push(self, repository: str) -> None:
        """Find out whether the credentials may push, and leave nothing: a manifest is put under a digest that is not
        its own, which a registry looks at after it has looked at the rights, and then has to refuse.

        A registry that answers otherwise is asked to begin an upload, which is cancelled.
        """
        path = f"/v2/{repository}/manifests/{_NOBODYS_DIGEST}"
        headers = {"Content-Type": OCI_MANIFEST}
        answer = await self._wire.request("PUT", path, scope=_push(repository), headers=headers, content=b"{}")
        if answer.status_code in {401, 403, 429}:
            raise self._wire.error(answer)
        if answer.is_success:
            with suppress(RegistryError):
                await self.delete(repository, _NOBODYS_DIGEST)
        elif not (answer.is_client_error and code_of(answer) in _REFUSED_FOR_ITS_CONTENT):
            begun = await self._send("POST", f"/v2/{repository}/blobs/uploads/", scope=_push(repository))
            # Not every registry can cancel one; all drop what was never finished.
            with suppress(RegistryError):
                await self._send("DELETE", upload_of(begun), scope=_delete(repository))

    async def tags(self, repository: str) -> list[str]:
        """All tags, on however many pages; none for a repository that does not exist (yet)."""
        found: list[str] = []
        path: str | None = f"/v2/{repository}/tags/list?n={_TAGS_PER_PAGE}"
        seen: set[str] = set()
        while path is not None and path not in seen:
            if len(seen) == _MOST_PAGES:
                raise RegistryProtocolError(f"{self.host} lists the tags of {repository} on endless pages")
            seen.add(path)
            try:
                response = await self._send("GET", path, scope=_pull(repository), most=_MOST_OF_TAGS)
            except (RepositoryUnknown, ManifestUnknown):
                return found
            found += tags_of(response)
            path = next_page(response)
        return found

    async def head(self, repository: str, reference: str, *, expected: str | None = None) -> Descriptor | None:
        """The descriptor under a tag or digest, None if it does not exist.

        The registry's word is taken for it; where that is missing, or is not `expected`, the bytes are checked.
        """
        path = f"/v2/{repository}/manifests/{reference}"
        response = await self._wire.request("HEAD", path, scope=_pull(repository), headers=_ACCEPT)
        if response.status_code == 404:
            return None
        # A server that knows no HEAD may know GET.
        if not response.is_success and response.status_code not in {405, 501}:
            raise self._wire.error(response)
        said = descriptor_of(response) if response.is_success else None
        if said is not None and expected in {None, said.digest}:
            return said
        try:
            return (await self._read(repository, reference))[0].descriptor
        except (ManifestUnknown, RepositoryUnknown):
            return None

    async def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest under a tag or digest. Raises DigestMismatch if the bytes are not what was named.

        By digest each is read once, as its bytes never change, and it is as good as there for the length of a run.
        """
        if (read := self._manifests.get((repository, reference))) is not None:
            return read
        manifest, claimed = await self._read(repository, reference)
        claimed = reference if is_digest(reference) else claimed
        if claimed is not None:
            self._check_digest(manifest.raw, claimed, f"/v2/{repository}/manifests/{reference}")
        if is_digest(reference) and len(manifest.raw) <= _MOST_KEPT_BYTES and len(self._manifests) < _MOST_KEPT:
            self._manifests[repository, reference] = manifest
        return manifest

    async def image_config(self, repository: str, manifest: Manifest) -> ImageConfig:
        """An image's configuration, of an index's first image."""
        if manifest.is_index:
            images = [child for child in manifest.children if child.is_image]
            if not images:
                raise RegistryProtocolError(f"the index {manifest.digest} contains no image")
            manifest = await self.manifest(repository, images[0].digest)
        if not manifest.blobs:
            raise RegistryProtocolError(f"the manifest {manifest.digest} has no configuration")
        digest = manifest.blobs[0].digest
        path = f"/v2/{repository}/blobs/{digest}"
        response = await self._send("GET", path, scope=_pull(repository))
        self._check_digest(response.content, digest, path)
        return ImageConfig.parse(response.content, digest)

    async def put_tag(self, repository: str, tag: str, manifest: Manifest) -> str:
        """Point `tag` to `manifest`, byte for byte, and check it: it usually points there, or to what somebody else
        wrote at the same time. Returns that digest.

        Raises TagImmutable for a tag that the registry keeps on something else.
        """
        try:
            await self.put_manifest(repository, tag, manifest.raw, manifest.media_type)
        except TagImmutable:
            held = await self.head(repository, tag, expected=manifest.digest)
            if held is not None and held.digest == manifest.digest:
                return held.digest
            raise
        for delay_s in _SHOWS_AFTER_S:
            await asyncio.sleep(delay_s)
            shown = await self.head(repository, tag, expected=manifest.digest)
            if shown is not None:
                return shown.digest
        raise RegistryUnavailable(f"{self.host} accepted the tag {tag} of {repository}, but does not list it")

    async def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> httpx.Response:
        """Write a manifest under a tag or its digest; the registry's answer. Raises TagImmutable."""
        path = f"/v2/{repository}/manifests/{reference}"
        headers = {"Content-Type": media_type}
        response = await self._wire.request("PUT", path, scope=_push(repository), headers=headers, content=content)
        if not response.is_success:
            raise self._wire.error(response, tag_write=not is_digest(reference))
        return response

    async def put_blob(self, repository: str, content: bytes, *, new: bool = False) -> str:
        """Store a small blob in one piece, unless it is there already; its digest. `new`: it cannot be."""
        digest = digest_of(content)
        if (repository, digest) in self._blobs:
            return digest
        path, scope = f"/v2/{repository}/blobs/", _push(repository)
        if new or not (await self._wire.request("HEAD", path + digest, scope=scope)).is_success:
            upload = upload_of(await self._send("POST", path + "uploads/", scope=scope))
            upload += f"{'&' if '?' in upload else '?'}digest={quote(digest, safe='')}"
            headers = {"Content-Type": "application/octet-stream"}
            await self._send("PUT", upload, scope=scope, headers=headers, content=content)
        self._blobs.add((repository, digest))
        return digest

    async def delete(self, repository: str, reference: str) -> bool:
        """Delete a manifest, or where the registry can a tag alone; False if it does not do that (many do not).

        True for what does not exist. Raises the RegistryErrors that a retry may help.
        """
        self._manifests.pop((repository, reference), None)
        try:
            await self._send("DELETE", f"/v2/{repository}/manifests/{reference}", scope=_delete(repository))
        except (ManifestUnknown, RepositoryUnknown):
            return True
        except RegistryError as error:
            if error.retryable:
                raise
            return False
        return True

    async def repository_request(
        self,
        method: str,
        repository: str,
        path: str,
        *,
        push: bool = False,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        most: int = MOST_BYTES,
    ) -> httpx.Response:
        """One request about a repository, whatever its answer's status: for what is attached to images.

        `path`: from /v2/ on. `push`: it writes. `most`: bytes that the answer may have. Raises AnswerTooLarge.
        """
        scope = _push(repository) if push else _pull(repository)
        return await self._wire.request(method, path, scope=scope, headers=headers, content=content, most=most)

    async def _read(self, repository: str, reference: str) -> tuple[Manifest, str | None]:
        """A manifest, and what the registry says its digest is."""
        path = f"/v2/{repository}/manifests/{reference}"
        response = await self._send("GET", path, scope=_pull(repository), headers=_ACCEPT)
        return Manifest.parse(response.content, response.headers.get("Content-Type", "")), claimed_digest(response)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        most: int = MOST_BYTES,
    ) -> httpx.Response:
        """The same as the wire's request, for answers that have to be a success."""
        response = await self._wire.request(method, path, scope=scope, headers=headers, content=content, most=most)
        if not response.is_success:
            raise self._wire.error(response)
        return response

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
