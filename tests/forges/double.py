"""A forge's API over HTTP: releases as GitHub, GitLab, or Forgejo keep them. Each request has to be as the forge's
published description says, and so has each answer."""

from __future__ import annotations

import http.server
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.forges.description import Description, Operation
from tests.serving import serving

TOKEN = "forge-token-1f6b2c"
DESCRIPTIONS = {"github": "github", "gitlab": "gitlab", "gitea": "forgejo"}
APIS = {"github": "", "gitlab": "/api/v4", "gitea": "/api/v1"}
REPOSITORY = {"github": "team/app", "gitlab": "team/sub/app", "gitea": "team/app"}

_USER = {
    **dict.fromkeys(
        (
            *("avatar_url", "events_url", "followers_url", "following_url", "gists_url", "gravatar_id", "html_url"),
            *("login", "node_id", "organizations_url", "received_events_url", "repos_url", "starred_url"),
            *("subscriptions_url", "type", "url"),
        ),
        "x",
    ),
    "id": 1,
    "site_admin": False,
}


@dataclass
class Fault:
    """An answer in place of the forge's own. `after`: it does what was asked first."""

    status: int
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    after: bool = False


@dataclass
class ForgeDouble:
    """`releases`: by tag; `pulls`: pull requests; `files`: what was uploaded, by name; `faults`: the next answers, None
    for the forge's own; `seen`: METHOD and path of each request; `wrong`: what was not as described."""

    kind: str
    tls: ssl.SSLContext | None = None
    port: int = 0
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault | None] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.description = Description(DESCRIPTIONS[self.kind])
        self._ids = 0

    @property
    def root(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        return self.root + APIS[self.kind]

    @property
    def writes(self) -> list[str]:
        """The requests that change something."""
        return [each for each in self.seen if not each.startswith("GET ")]

    def body(self, tag: str) -> str:
        text: str = self.releases[tag]["description" if self.kind == "gitlab" else "body"]
        return text

    def asset_names(self, tag: str) -> list[str]:
        assets = self.releases[tag]["assets"]
        return [each["name"] for each in (assets["links"] if self.kind == "gitlab" else assets)]

    def do(self, operation: Operation, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        """Status and document."""
        if "pulls" in operation.path or "merge_requests" in operation.path:
            return self._do_pull(operation, query, json.loads(body) if body else {})
        values, release = operation.values, self._named(operation)
        last = operation.path.rpartition("/")[2]
        if operation.method in {"GET", "PUT", "PATCH"} and "releases" in operation.path:
            if operation.path.endswith("/releases"):
                return 200, list(self.releases.values())
            if release is None or (operation.path.endswith("{tag}") and release.get("draft")):
                return 404, {"message": "Not Found"}
            if operation.method != "GET":
                # What a forge takes and does not show.
                shown = {name: value for name, value in json.loads(body).items() if name != "make_latest"}
                release.update(shown)
            return 200, release
        if last == "releases":
            asked = json.loads(body)
            if asked["tag_name"] in self.releases:
                said: dict[str, Any] = {"message": "Release already exists"}
                github = {"message": "Validation Failed", "errors": [{"code": "already_exists", "field": "tag_name"}]}
                return (422, github) if self.kind == "github" else (409, said)
            return 201, self._make(asked)
        if operation.method == "DELETE":
            for each in self.releases.values():
                each["assets"] = [one for one in each["assets"] if str(one["id"]) != values["asset_id"]]
            return 204, None
        if "packages" in operation.path:
            self.files[values["file_name"]] = body
            return 201, {"message": "201 Created"}
        assert release is not None, operation.path
        if last == "links":
            link = json.loads(body)
            release["assets"]["links"].append({"id": self._next(), "link_type": "other", **link})
            return 201, release["assets"]["links"][-1]
        name = query["name"][0]
        self.files[name] = body
        release["assets"].append(self._asset(name))
        return 201, release["assets"][-1]

    def _do_pull(self, operation: Operation, query: dict[str, list[str]], asked: dict[str, Any]) -> tuple[int, Any]:
        gitlab = self.kind == "gitlab"
        number, opened = ("iid", "opened") if gitlab else ("number", "open")
        if operation.method == "GET":
            wanted = {name: values[0] for name, values in query.items()}
            found = [each for each in self.pulls if wanted["state"] in {each["state"], "all"}]
            if gitlab:
                names = ("source_branch", "target_branch")
                found = [each for each in found if all(each[name] == wanted[name] for name in names)]
            elif self.kind == "github":
                owner = REPOSITORY["github"].partition("/")[0]
                found = [each for each in found if f"{owner}:{each['head']['ref']}" == wanted["head"]]
            else:
                first = (int(wanted["page"]) - 1) * int(wanted["limit"])
                found = found[first : first + int(wanted["limit"])]
            return 200, found
        if operation.method == "POST":
            branches = (asked["source_branch"], asked["target_branch"]) if gitlab else (asked["head"], asked["base"])
            if any(each["state"] == opened and each["branches"] == branches for each in self.pulls):
                return (422 if self.kind == "github" else 409), {"message": "A pull request already exists"}
            key = self._next()
            url = {"web_url" if gitlab else "html_url": f"{self.root}/pulls/{key}"}
            refs = asked if gitlab else {**asked, "head": {"ref": asked["head"]}, "base": {"ref": asked["base"]}}
            self.pulls.append({**refs, **url, number: key, "state": opened, "branches": branches})
            return 201, self.pulls[-1]
        values = operation.values
        key = int(values.get("pull_number") or values.get("index") or values["merge_request_iid"])
        (pull,) = (each for each in self.pulls if each.get(number) == key)
        pull.update(asked)
        return (201 if self.kind == "gitea" else 200), pull

    def _named(self, operation: Operation) -> dict[str, Any] | None:
        values = operation.values
        tag = values.get("tag") or values.get("tag_name")
        key = values.get("release_id") or (values.get("id") if self.kind == "gitea" else None)
        found = (each for each in self.releases.values() if tag == each["tag_name"] or str(each.get("id")) == key)
        return next(found, None)

    def _make(self, asked: dict[str, Any]) -> dict[str, Any]:
        tag, now = asked["tag_name"], "2026-01-01T00:00:00Z"
        if self.kind == "gitlab":
            made: dict[str, Any] = {
                "tag_name": tag,
                "name": asked.get("name", tag),
                "description": asked.get("description", ""),
                "assets": {"count": 0, "links": []},
                "_links": {"self": f"{self.root}/{REPOSITORY['gitlab']}/-/releases/{tag}"},
            }
        else:
            number = self._next()
            url = f"{self.api}/repos/{REPOSITORY[self.kind]}/releases/{number}"
            shown = {name: value for name, value in asked.items() if name != "make_latest"}
            made = {
                "target_commitish": "main",
                "draft": False,
                "prerelease": False,
                "body": "",
                "name": tag,
                **shown,
                "id": number,
                "url": url,
                "assets": [],
                "author": _USER,
                "created_at": now,
                "published_at": now,
                "html_url": f"{self.root}/{REPOSITORY[self.kind]}/releases/tag/{tag}",
                "tarball_url": url,
                "zipball_url": url,
                "upload_url": f"{url}/assets{{?name,label}}",
            }
            if self.kind == "github":
                made |= {"node_id": "x", "assets_url": f"{url}/assets", "immutable": False}
            else:
                made |= {"author": {"login": "x", "id": 1}}
        self.releases[tag] = made
        return made

    def _asset(self, name: str) -> dict[str, Any]:
        url = f"{self.root}/download/{name}"
        if self.kind == "gitea":
            return {"id": self._next(), "name": name, "size": 1, "browser_download_url": url}
        return {
            "url": url,
            "browser_download_url": url,
            "id": self._next(),
            "node_id": "x",
            "name": name,
            "label": "",
            "state": "uploaded",
            "content_type": "x",
            "size": 1,
            "digest": None,
            "download_count": 0,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "uploader": _USER,
        }

    def _next(self) -> int:
        self._ids += 1
        return self._ids


@contextmanager
def forge_double(kind: str, tls: ssl.SSLContext | None = None) -> Iterator[ForgeDouble]:
    """Serve one on a free port for the time of the block; all requests were as described."""
    double = ForgeDouble(kind, tls)
    handler = type("Handler", (_Handler,), {"double": double})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        # Who gets more than was asked for hangs up.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        double.port = server.server_address[1]
        with serving(server):
            yield double
    assert not double.wrong, double.wrong


class _Handler(http.server.BaseHTTPRequestHandler):
    double: ForgeDouble
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        double, (path, _, query) = self.double, self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        double.seen.append(f"{self.command} {path}")
        double.tokens.append(self.headers.get("Authorization", ""))
        fault = double.faults.pop(0) if double.faults else None
        if fault is not None and not fault.after:
            return self._answer(fault)
        if self.headers.get("Authorization") not in {f"Bearer {TOKEN}", f"token {TOKEN}"}:
            return self._answer(Fault(401, {"message": "Bad credentials"}))
        operation = double.description.operation(self.command, path)
        if operation is None:
            double.wrong.append(f"{self.command} {path}: no such operation")
            return self._answer(Fault(404, {"message": "Not Found"}))
        content_type = self.headers.get("Content-Type", "")
        wrong = list(double.description.wrong_in_request(operation, query, content_type, body))
        try:
            status, document = double.do(operation, parse_qs(query), body)
        except Exception as error:
            double.wrong.append(f"{self.command} {path}: {error!r}")
            raise
        wrong += double.description.wrong_in_answer(operation, status, document)
        double.wrong += [f"{self.command} {path}: {each}" for each in wrong]
        return self._answer(fault or Fault(status, document))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self, answer: Fault) -> None:
        content = answer.raw
        if content is None:
            content = b"" if answer.document is None else json.dumps(answer.document).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
