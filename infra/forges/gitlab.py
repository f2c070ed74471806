"""GitLab's releases and merge requests. Files are in the project's generic packages, and a release links to them.

Sources: docs.gitlab.com "Project release API", "Release links API", "GitLab generic packages repository". GitLab knows
no prereleases, and takes the newest by its date for the latest.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from prefect_slipway.infra.domain.errors import ForgeProtocolError
from prefect_slipway.infra.forges.http import ForgeHttp
from prefect_slipway.infra.forges.pulls import FoundPull, PullRequest, open_first
from prefect_slipway.infra.forges.release import Asset, ForgeRelease, Found, text_at

_PACKAGE = "release-files"


class GitLab:
    def __init__(self, http: ForgeHttp, repository: str) -> None:
        self._http = http
        self._base = f"/projects/{quote(repository, safe='')}"

    async def find(self, tag: str) -> Found | None:
        answer = await self._call("GET", self._path(tag), missing=True)
        return self._found(answer) if answer is not None else None

    async def create(self, wanted: ForgeRelease, body: str, *, files: bool) -> Found:
        new = {"tag_name": wanted.tag, "ref": wanted.revision, "name": wanted.tag, "description": body}
        return self._found(await self._call("POST", "/releases", body=new))

    async def update(self, found: Found, body: str) -> None:
        await self._call("PUT", self._path(found.key), body={"description": body})

    async def attach(self, found: Found, wanted: ForgeRelease, asset: Asset) -> None:
        file = f"/packages/generic/{_PACKAGE}/{quote(wanted.version, safe='')}/{quote(asset.name, safe='')}"
        headers = {"Content-Type": "application/octet-stream"}
        await self._call("PUT", file, content=asset.content, headers=headers)
        link = {"name": asset.name, "url": f"{self._http.api}{self._base}{file}", "link_type": "other"}
        await self._call("POST", f"{self._path(found.key)}/assets/links", body=link)

    async def finish(self, found: Found, wanted: ForgeRelease) -> None:
        """There are no drafts."""

    async def find_pull(self, branch: str, base: str, *, ended: bool) -> FoundPull | None:
        asked = {"source_branch": branch, "target_branch": base, "state": "all" if ended else "opened"}
        found = await self._call("GET", "/merge_requests", params=asked)
        return open_first(self._pull(each) for each in (found if isinstance(found, list) else []))

    async def open_pull(self, wanted: PullRequest, body: str) -> FoundPull:
        new = {
            "source_branch": wanted.branch,
            "target_branch": wanted.base,
            "title": wanted.title,
            "description": body,
            # GitLab's squash keeps the title alone, and so not what approves the version.
            "squash": False,
        }
        return self._pull(await self._call("POST", "/merge_requests", body=new))

    async def edit_pull(self, found: FoundPull, title: str, body: str) -> None:
        await self._call("PUT", f"/merge_requests/{found.number}", body={"title": title, "description": body})

    def _pull(self, answer: Any) -> FoundPull:
        number = answer.get("iid") if isinstance(answer, dict) else None
        if not isinstance(number, int):
            raise ForgeProtocolError(f"{self._http.api}: an answer that is not a merge request")
        return FoundPull(
            *(number, text_at(answer, "title"), text_at(answer, "description"), text_at(answer, "web_url")),
            is_open=answer.get("state") == "opened",
        )

    async def _call(self, method: str, path: str, **sent: Any) -> Any:
        return await self._http.call(method, self._base + path, **sent)

    def _path(self, tag: str) -> str:
        return f"/releases/{quote(tag, safe='')}"

    def _found(self, answer: Any) -> Found:
        if not (tag := text_at(answer, "tag_name")):
            raise ForgeProtocolError(f"{self._http.api}: an answer that is not a release")
        assets = answer.get("assets")
        links = assets.get("links") if isinstance(assets, dict) else None
        names = frozenset(text_at(each, "name") for each in links) if isinstance(links, list) else frozenset[str]()
        return Found(tag, text_at(answer, "description"), text_at(answer, "_links", "self"), names)
