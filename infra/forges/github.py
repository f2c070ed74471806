"""GitHub's releases, and Gitea's, which are much like them.

Sources: github/rest-api-description (repos/*-release*), docs.github.com "Immutable releases": nothing can be attached
to one that is published, so it is a draft until it is whole. Gitea's and Forgejo's swagger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from prefect_slipway.infra.domain.errors import ForgeProtocolError
from prefect_slipway.infra.forges.http import ForgeHttp
from prefect_slipway.infra.forges.pulls import FoundPull, PullRequest, open_first
from prefect_slipway.infra.forges.release import Asset, ForgeRelease, Found, text_at

_PAGE, _MOST_PAGES = 50, 40


class GitHub:
    _headers: ClassVar[Mapping[str, str]] = {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }

    def __init__(self, http: ForgeHttp, repository: str) -> None:
        self._http = http
        self._repository = repository
        self._base = f"/repos/{quote(repository)}"

    async def find(self, tag: str) -> Found | None:
        answer = await self._call("GET", f"/releases/tags/{quote(tag, safe='')}", missing=True)
        if answer is None:
            # A draft has no tag yet.
            drafts = await self._call("GET", "/releases", params={"per_page": 100})
            own = (each for each in drafts if text_at(each, "tag_name") == tag and each.get("draft"))
            answer = next(own, None) if isinstance(drafts, list) else None
        return self._found(answer) if answer is not None else None

    async def create(self, wanted: ForgeRelease, body: str, *, files: bool) -> Found:
        return self._found(await self._call("POST", "/releases", body=self._new(wanted, body, draft=files)))

    async def update(self, found: Found, body: str) -> None:
        await self._call("PATCH", f"/releases/{found.key}", body={"body": body})

    async def attach(self, found: Found, wanted: ForgeRelease, asset: Asset) -> None:
        for key in found.broken:
            await self._call("DELETE", f"/releases/assets/{key}", missing=True)
        headers = {**self._headers, "Content-Type": asset.media_type}
        where = found.upload.partition("{")[0]
        await self._http.call("POST", where, params={"name": asset.name}, content=asset.content, headers=headers)

    async def finish(self, found: Found, wanted: ForgeRelease) -> None:
        body = {"draft": False, "make_latest": str(wanted.latest).lower()}
        await self._call("PATCH", f"/releases/{found.key}", body=body)

    async def _call(self, method: str, path: str, **sent: Any) -> Any:
        return await self._http.call(method, self._base + path, headers=self._headers, **sent)

    def _new(self, wanted: ForgeRelease, body: str, *, draft: bool) -> dict[str, Any]:
        latest = {} if draft else {"make_latest": str(wanted.latest).lower()}
        return {
            "tag_name": wanted.tag,
            "target_commitish": wanted.revision,
            "name": wanted.tag,
            "body": body,
            "draft": draft,
            "prerelease": wanted.prerelease,
            **latest,
        }

    def _found(self, answer: Any) -> Found:
        key = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(key, int):
            raise ForgeProtocolError(f"{self._http.api}: an answer that is not a release")
        listed = answer.get("assets")
        assets = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        return Found(
            key=str(key),
            body=text_at(answer, "body"),
            page=text_at(answer, "html_url"),
            assets=frozenset(text_at(each, "name") for each in assets if each.get("state", "uploaded") == "uploaded"),
            # What is left of an upload that broke off.
            broken=tuple(str(each.get("id")) for each in assets if each.get("state", "uploaded") != "uploaded"),
            draft=answer.get("draft") is True,
            upload=text_at(answer, "upload_url"),
        )

    async def find_pull(self, branch: str, base: str, *, ended: bool) -> FoundPull | None:
        owner = self._repository.partition("/")[0]
        asked = {"head": f"{owner}:{branch}", "base": base, "state": "all" if ended else "open"}
        found = await self._call("GET", "/pulls", params=asked)
        return open_first(self._pull(each) for each in (found if isinstance(found, list) else []))

    async def open_pull(self, wanted: PullRequest, body: str) -> FoundPull:
        new = {"title": wanted.title, "head": wanted.branch, "base": wanted.base, "body": body}
        return self._pull(await self._call("POST", "/pulls", body=new))

    async def edit_pull(self, found: FoundPull, title: str, body: str) -> None:
        await self._call("PATCH", f"/pulls/{found.number}", body={"title": title, "body": body})

    def _pull(self, answer: Any) -> FoundPull:
        number = answer.get("number") if isinstance(answer, dict) else None
        if not isinstance(number, int):
            raise ForgeProtocolError(f"{self._http.api}: an answer that is not a pull request")
        return FoundPull(
            *(number, text_at(answer, "title"), text_at(answer, "body"), text_at(answer, "html_url")),
            is_open=answer.get("state") == "open",
        )


class Gitea(GitHub):
    """Which release is the latest it decides by itself: the newest that is not a prerelease."""

    _headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json"}

    async def find(self, tag: str) -> Found | None:
        answer = await self._call("GET", f"/releases/tags/{quote(tag, safe='')}", missing=True)
        return self._found(answer) if answer is not None else None

    async def attach(self, found: Found, wanted: ForgeRelease, asset: Asset) -> None:
        files = {"attachment": (asset.name, asset.content, asset.media_type)}
        await self._call("POST", f"/releases/{found.key}/assets", params={"name": asset.name}, files=files)

    async def finish(self, found: Found, wanted: ForgeRelease) -> None:
        await self._call("PATCH", f"/releases/{found.key}", body={"draft": False})

    async def find_pull(self, branch: str, base: str, *, ended: bool) -> FoundPull | None:
        # By branch one would get one of them, whether it is open or not.
        found: list[FoundPull] = []
        for page in range(1, _MOST_PAGES + 1):
            asked = {"state": "all" if ended else "open", "sort": "recentupdate", "page": page, "limit": _PAGE}
            listed = await self._call("GET", "/pulls", params=asked)
            for each in listed if isinstance(listed, list) else []:
                if (text_at(each, "head", "ref"), text_at(each, "base", "ref")) == (branch, base):
                    found.append(self._pull(each))
            if found or not isinstance(listed, list) or len(listed) < _PAGE:
                break
        return open_first(found)

    def _new(self, wanted: ForgeRelease, body: str, *, draft: bool) -> dict[str, Any]:
        new = super()._new(wanted, body, draft=False)
        del new["make_latest"]
        return new
