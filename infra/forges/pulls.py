"""A pull request on a forge, or merge request: opened if there is none, else kept up to date."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from prefect_slipway.infra.domain.forge_place import with_ours
from prefect_slipway.infra.domain.release_commit import with_trailer, without_trailer
from prefect_slipway.infra.forges.release import Published


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What is wanted: to merge `branch` into `base`. `text`: Markdown; `version`: named by the text's last line; ""
    for one that merging approves nothing."""

    branch: str
    base: str
    title: str
    text: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class FoundPull:
    """`number`: by which the forge's API names it. `is_open`: neither closed nor merged."""

    number: int
    title: str
    body: str
    page: str
    is_open: bool


def open_first(found: Iterable[FoundPull]) -> FoundPull | None:
    """The open one, else the first; None without any."""
    return min(found, key=lambda each: not each.is_open, default=None)


class Pulls(Protocol):
    """Pull requests of one repository. Everything raises ForgeErrors."""

    async def find_pull(self, branch: str, base: str, *, ended: bool) -> FoundPull | None:
        """The open one; with `ended` one that was closed or merged, if none is open."""

    async def open_pull(self, wanted: PullRequest, body: str) -> FoundPull: ...

    async def edit_pull(self, found: FoundPull, title: str, body: str) -> None: ...


async def propose(pulls: Pulls, wanted: PullRequest, *, once: bool = False) -> Published:
    """Open it, or update title and Slipway's part of the text. `once`: what somebody closed stays closed. Raises
    ForgeErrors."""
    found = await pulls.find_pull(wanted.branch, wanted.base, ended=once)
    if found is not None and not found.is_open:
        return Published(found.page, "unchanged")
    there = without_trailer(found.body) if found is not None else ""
    body = with_ours(there, wanted.text)
    body = with_trailer(body, wanted.version) if wanted.version else body
    if found is None:
        found = await pulls.open_pull(wanted, body)
        return Published(found.page, "created")
    if (found.title, found.body.replace("\r\n", "\n").rstrip()) == (wanted.title, body):
        return Published(found.page, "unchanged")
    await pulls.edit_pull(found, wanted.title, body)
    return Published(found.page, "updated")
