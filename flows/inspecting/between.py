"""What is new between two versions, commits or images of a source, or since what a workload runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from prefect_slipway.flows.notes.asked import told, written
from prefect_slipway.flows.notes.changes import MAX_COMMITS, Changes
from prefect_slipway.flows.request.noted import NotesRequest
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.release_file import find_release_file
from prefect_slipway.infra.domain.errors import InvalidOption, InvalidVersion, RefUnknown
from prefect_slipway.infra.domain.labels import OCI_REVISION
from prefect_slipway.infra.domain.version import Version, latest, parse_version, versions_of_git_tags
from prefect_slipway.infra.source.checkout import Checkout
from prefect_slipway.infra.source.command import git
from prefect_slipway.infra.source.directory import repository_at
from prefect_slipway.infra.source.history import History, tags
from prefect_slipway.infra.source.url import is_full_id

_HEAD = "HEAD"


@dataclass(frozen=True, slots=True)
class NotesBetween:
    """`start`: the commit that the changes come after, None for all of the history; `end`: the last of them. `changes`:
    plain text as its authors wrote it; `markdown`: the same, harmless where it is shown."""

    start: str | None
    end: str
    changes: Changes
    markdown: str
    text: str


async def notes_between(request: NotesRequest, env: Mapping[str, str] = os.environ) -> NotesBetween:
    """Raises InvalidOption, RefUnknown, HistoryIncomplete, SourceErrors, and what registry, Vault and cluster raise."""
    checkout = await repository_at(Path(request.source))
    request = _with_release_file(request, checkout)
    ends = _Ends(request, checkout, env)
    end = await ends.commit(request.end or _HEAD)
    start = await ends.deployed(request.deployed) if request.deployed is not None else await ends.start(end)
    history = await History.open(replace(checkout, revision=end))
    series = await history.since(start, most=MAX_COMMITS)
    changes = told(request.notes, series)
    span = (start, end) if start is not None else None
    return NotesBetween(start, end, changes, *await written(request.notes, changes, checkout, span))


def _with_release_file(request: NotesRequest, checkout: Checkout) -> NotesRequest:
    """What the file says about notes and tags counts where the request says nothing."""
    file = find_release_file(ReleaseRequest(source=request.source), checkout.path, checkout.top)
    if file is None:
        return request
    notes = {name: value for name, value in file.values.get("notes", {}).items() if name != "changelog"}
    given = request.model_dump(exclude_unset=True)
    prefix = file.values.get("version", {}).get("tag_prefix")
    return NotesRequest.read(
        {"tag_prefix": prefix, **given, "notes": {**notes, **given.get("notes", {})}}
        if prefix is not None
        else {**given, "notes": {**notes, **given.get("notes", {})}}
    )


class _Ends:
    """Commits by what people call them."""

    def __init__(self, request: NotesRequest, checkout: Checkout, env: Mapping[str, str]) -> None:
        assert checkout.repository is not None, "the source is a repository"
        self._request = request
        self._checkout = checkout
        self._repository = checkout.repository
        self._env = env
        prefix = request.tag_prefix
        self._prefix = "v" if prefix is None else prefix.removeprefix("-")

    async def commit(self, name: str) -> str:
        """The commit of a version, a tag, a branch, a commit's id or an image."""
        if ":" in name or "@" in name:
            return await self._known(await self._of_image(name), name)
        with suppress(InvalidVersion):
            version = parse_version(name)
            if (tag := await self._tag(version)) is not None:
                return tag
        return await self._known(name, name)

    async def start(self, end: str) -> str | None:
        """Where the request begins; else at the version before the end."""
        if self._request.start:
            return await self.commit(self._request.start)
        found = versions_of_git_tags(all_tags := await tags(self._repository), self._prefix)
        inside = await History(replace(self._checkout, revision=end), None).includes(
            [all_tags[name] for name in found.values()]
        )
        below = [version for version, name in found.items() if all_tags[name] in inside and all_tags[name] != end]
        last = latest(below, stable_only=True) or latest(below)
        return all_tags[found[last]] if last is not None else None

    async def deployed(self, workload: str) -> str:
        """The commit of the image that a workload runs."""
        from prefect_slipway.flows.run.cluster import open_api
        from prefect_slipway.infra.kubernetes.workloads.workload import Workload
        from prefect_slipway.infra.kubernetes.workloads.workload_name import WorkloadName

        request = self._request
        async with open_api(request.context, request.namespace, self._env) as api:
            state = await Workload(api, WorkloadName.parse(workload), request.container).read()
        return await self._known(await self._of_image(state.image), state.image)

    async def _tag(self, version: Version) -> str | None:
        all_tags = await tags(self._repository)
        name = versions_of_git_tags(all_tags, self._prefix).get(version)
        return all_tags[name] if name is not None else None

    async def _known(self, name: str, shown: str) -> str:
        """The commit's full id, if this clone has it."""
        answer = await git(
            *("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"), cwd=self._repository
        )
        if answer.status != 0 or not is_full_id(found := answer.out.strip()):
            raise RefUnknown(
                f"{self._repository} does not have {shown if name == shown else f'the commit {name} of {shown}'}",
                action="fetch it with `git fetch --tags`, or check its name",
            )
        return found

    async def _of_image(self, name: str) -> str:
        from prefect_slipway.flows.inspecting.open import open_image
        from prefect_slipway.flows.request.inspected import InspectRequest

        given = {**self._request.model_dump(include={"credentials", "registry_ca", "insecure_registry", "vault"})}
        async with open_image(InspectRequest.read({"reference": name, **given}), self._env) as (client, image, _):
            manifest = await client.manifest(image.repository, image.digest or image.tag or "latest")
            revision = (await client.image_config(image.repository, manifest)).labels.get(OCI_REVISION, "")
        if not is_full_id(revision):
            raise InvalidOption(
                f"the image {name} does not say which commit it was built from ({OCI_REVISION})",
                action="name the commit or the version instead",
            )
        return revision
