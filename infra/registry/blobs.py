"""Push small blobs and manifests to a registry, and read them back without trusting it.

Source: OCI distribution specification 1.1, "Pushing blobs", "Pushing manifests", "Pulling blobs".
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import httpx

from prefect_slipway.infra.domain.errors import AnswerTooLarge, DigestMismatch, RegistryUnavailable, UploadBroken
from prefect_slipway.infra.domain.reference import is_digest
from prefect_slipway.infra.registry.client import RegistryClient
from prefect_slipway.infra.registry.errors import error_of
from prefect_slipway.infra.registry.model import MANIFEST_TYPES, Descriptor, Manifest, digest_of
from prefect_slipway.infra.registry.wire import MOST_BYTES

Pause: TypeAlias = Callable[[float], Awaitable[None]]
"""Sleeps for some seconds."""

_T = TypeVar("_T")
_TRIES = 5
_BUSY_S = 0.2


async def while_others_write(call: Callable[[], Awaitable[_T]], pause: Pause) -> _T:
    """Call again when the registry stumbles over somebody else's write of the same tag or the same bytes.

    distribution 2.8 writes its files in place: who reads a tag in that moment gets a 500, and who pushes a manifest
    whose blobs others push right then gets DIGEST_INVALID or BLOB_UNKNOWN.
    """
    for left in reversed(range(_TRIES)):
        try:
            return await call()
        except (RegistryUnavailable, DigestMismatch, UploadBroken):
            if not left:
                raise
            await pause(random.uniform(0, _BUSY_S))  # noqa: S311 (no secret)
    raise AssertionError("unreachable")


async def push_blob(
    client: RegistryClient, repository: str, content: bytes, media_type: str, *, new: bool = False
) -> Descriptor:
    """Push a blob in one piece, unless it is there already. `new`: it cannot be. Raises RegistryErrors."""
    return Descriptor(media_type, await client.put_blob(repository, content, new=new), len(content))


async def put_manifest(
    client: RegistryClient, repository: str, manifest: Manifest, tag: str | None = None
) -> httpx.Response:
    """Push exactly a manifest's bytes, under `tag` or by its digest; the registry's answer. Raises RegistryErrors."""
    reference = tag or manifest.digest
    response = await client.put_manifest(repository, reference, manifest.raw, manifest.media_type)
    stored = response.headers.get("Docker-Content-Digest", manifest.digest)
    if stored != manifest.digest:
        where = f"{repository}/manifests/{reference}"
        raise DigestMismatch(f"{client.host} stored {where} as {stored}, not as {manifest.digest}")
    return response


async def read_manifest(client: RegistryClient, repository: str, reference: str) -> Manifest | None:
    """The manifest under a tag or digest, None for nothing. Raises AnswerTooLarge, DigestMismatch, RegistryErrors."""
    path = f"/v2/{repository}/manifests/{reference}"
    headers = {"Accept": ", ".join(MANIFEST_TYPES)}
    response = await client.repository_request("GET", repository, path, headers=headers, most=MOST_BYTES)
    if response.status_code == 404:
        return None
    if not response.is_success:
        raise error_of(response)
    if is_digest(reference):
        _check(response.content, reference, f"{client.host}{path}")
    return Manifest.parse(response.content, response.headers.get("Content-Type", ""))


async def read_blob(client: RegistryClient, repository: str, descriptor: Descriptor, limit: int) -> bytes:
    """A blob's verified bytes. `limit`: bytes it may have. Raises AnswerTooLarge, DigestMismatch, RegistryErrors."""
    if descriptor.size > limit:
        raise AnswerTooLarge(
            f"{descriptor.digest} in {client.host}/{repository} has {descriptor.size} bytes, more than {limit}"
        )
    path = f"/v2/{repository}/blobs/{descriptor.digest}"
    response = await client.repository_request("GET", repository, path, most=limit)
    if not response.is_success:
        raise error_of(response)
    _check(response.content, descriptor.digest, f"{client.host}{path}")
    return response.content


def _check(content: bytes, digest: str, where: str) -> None:
    actual = digest_of(content, digest.partition(":")[0])
    if actual != digest:
        raise DigestMismatch(f"{where}: the bytes' digest is {actual}, not {digest}")
