"""A release on a forge: made if there is none, else what it lacks is added. The same again changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prefect_slipway.infra.domain.forge_place import with_ours


@dataclass(frozen=True, slots=True)
class Asset:
    """A file to attach. `media_type`: of its content."""

    name: str
    content: bytes
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class ForgeRelease:
    """What is wanted. `tag`: git's, which the forge creates on `revision` if it does not exist; `version`: for places
    where files are kept by version; `text`: Markdown; `latest`: it is the highest version."""

    tag: str
    version: str
    revision: str
    text: str
    prerelease: bool = False
    latest: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What the forge has. `key`: by which its API names it; `assets`: the names of those that are whole; `broken`: the
    keys of those that are not; `draft`: nobody else sees it yet."""

    key: str
    body: str
    page: str
    assets: frozenset[str] = frozenset()
    broken: tuple[str, ...] = ()
    draft: bool = False
    upload: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """What became of it. `page`: its address, "" if the forge does not say; `did`: `created`, `updated` or
    `unchanged`."""

    page: str
    did: str


class Forge(Protocol):
    """One repository on a forge. Everything raises ForgeErrors."""

    async def find(self, tag: str) -> Found | None:
        """The release of a tag."""
        ...

    async def create(self, wanted: ForgeRelease, body: str, *, files: bool) -> Found:
        """`files`: some will be attached."""
        ...

    async def update(self, found: Found, body: str) -> None: ...

    async def attach(self, found: Found, wanted: ForgeRelease, asset: Asset) -> None: ...

    async def finish(self, found: Found, wanted: ForgeRelease) -> None:
        """Show a draft to everybody."""
        ...


async def publish(forge: Forge, wanted: ForgeRelease, assets: Sequence[Asset], *, keep: bool = False) -> Published:
    """Create the release, or update Slipway's part of its text and attach the files it lacks. `keep`: a part that is
    there stays as it is. Raises ForgeErrors; done again, it continues."""
    found = await forge.find(wanted.tag)
    did = "unchanged"
    if found is None:
        found = await forge.create(wanted, with_ours("", wanted.text), files=bool(assets))
        did = "created"
    elif (body := with_ours(found.body, wanted.text, keep=keep)) != found.body.replace("\r\n", "\n"):
        await forge.update(found, body)
        did = "updated"
    for asset in assets:
        if asset.name not in found.assets:
            await forge.attach(found, wanted, asset)
            did = did if did == "created" else "updated"
    if found.draft:
        await forge.finish(found, wanted)
        did = "created"
    return Published(found.page, did)


def text_at(document: Any, *path: str) -> str:
    """The text there, "" for anything else."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, str) else ""
