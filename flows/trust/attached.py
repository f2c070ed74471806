"""Read the attachments of an image, which anyone with push permission may have added, and keep the valid ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from prefect_slipway.infra.domain.errors import (
    AnswerTooLarge,
    DigestMismatch,
    ManifestUnknown,
    RegistryProtocolError,
    SlipwayError,
    TrustError,
)
from prefect_slipway.infra.domain.signing import Attached, Attachments

T = TypeVar("T")

MAX_READ = 200
"""Of more than these the last in the registry's list are read: a list must not keep a verification busy."""
_MAX_BYTES = 512 * 1024 * 1024

_UNREADABLE = (AnswerTooLarge, DigestMismatch, ManifestUnknown, RegistryProtocolError)
"""What may be wrong with one attachment alone; the others are read all the same."""


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """The valid attachments, and why each of the others was rejected."""

    accepted: tuple[T, ...]
    refused: tuple[SlipwayError, ...]


async def read(listed: Iterable[Attached], store: Attachments, verify: Callable[[bytes, Attached], T]) -> Read[T]:
    """`verify`: called with an attachment's content, raises TrustErrors. Raises RegistryErrors."""
    accepted: list[T] = []
    refused: list[SlipwayError] = []
    left = _MAX_BYTES
    for each in list(listed)[-MAX_READ:]:
        try:
            if left < 0:
                raise AnswerTooLarge("the image's attachments are larger than the limit for one verification")
            content = await store.content(each)
            left -= len(content)
            accepted.append(verify(content, each))
        except (TrustError, *_UNREADABLE) as error:
            refused.append(error)
    return Read(tuple(accepted), tuple(refused))
