"""The client that asks Prefect without Prefect: what it asks itself, and what it leaves to Prefect's own client."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import prefect
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_RETRY_JITTER_FACTOR, PREFECT_UI_URL, temporary_settings
from prefect.utilities.urls import url_for

from prefect_slipway.flows.server.errors import prefect_errors
from prefect_slipway.flows.server.quick import quick_client, run_page
from prefect_slipway.infra.domain.errors import PrefectProtocolError, PrefectUnauthorized
from tests.serving import serving

RUN = "6b9c1a86-5a2f-4a43-9d39-6a1d0f7ba8f0"


class Server(ThreadingHTTPServer):
    """`version`: what it says. `refusals`: statuses of its next answers to a POST. `asked`: whose client asked, and for
    what."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.version = prefect.__version__
        self.refusals: list[int] = []
        self.asked: list[tuple[str, str]] = []
        self.authorizations: set[str | None] = set()
        self.api = f"http://127.0.0.1:{self.server_port}/api"

    @property
    def askers(self) -> list[str]:
        """Whose client asked for anything but the version and a CSRF token."""
        return [who for who, path in self.asked if path.endswith("/events")]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.answer(200 if self.path.endswith("/version") else 404, self.server.version)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(self.server.refusals.pop(0) if self.server.refusals else 200, "yes")

    def answer(self, status: int, value: str) -> None:
        agent = self.headers["User-Agent"]
        self.server.asked.append(("prefect" if agent.startswith("prefect/") else "quick", self.path))
        self.server.authorizations.add(self.headers["Authorization"])
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """In a folder without settings. Prefect's client asks the same server."""
    monkeypatch.chdir(tmp_path)
    made = Server()
    with serving(made), temporary_settings({PREFECT_API_URL: made.api, PREFECT_CLIENT_RETRY_JITTER_FACTOR: 0.0}):
        yield made
    made.server_close()


def plain(server: Server, **more: str) -> dict[str, str]:
    return {"PREFECT_API_URL": server.api, "PREFECT_HOME": "home", **more}


async def post(env: dict[str, str]) -> int:
    async with quick_client(env) as client:
        return (await client.request("POST", "/events", json=[])).status_code


async def test_what_is_plain_is_asked_without_prefect(server: Server) -> None:
    """The version first, as Prefect's client does."""
    assert await post(plain(server)) == 200
    assert server.asked == [("quick", "/api/admin/version"), ("quick", "/api/events")]


@pytest.mark.parametrize(
    ("env", "header"),
    [
        ({"PREFECT_API_AUTH_STRING": "admin:pass", "PREFECT_API_KEY": "no"}, "Basic YWRtaW46cGFzcw=="),
        ({"PREFECT_API_KEY": "pnu_1"}, "Bearer pnu_1"),
    ],
)
async def test_it_says_who_it_is(server: Server, env: dict[str, str], header: str) -> None:
    """As Prefect's client does."""
    assert await post(plain(server, **env)) == 200
    assert server.authorizations == {header}


@pytest.mark.parametrize(
    "setting",
    [
        {"PREFECT_API_TLS_INSECURE_SKIP_VERIFY": "true"},
        {"PREFECT_CLIENT_CUSTOM_HEADERS": "{}"},
        {"PREFECT_PROFILE": "other"},
        {"PREFECT_API_URL": "https://api.prefect.cloud/api/accounts/a/workspaces/b"},
    ],
)
async def test_other_settings_are_left_to_prefect(server: Server, setting: dict[str, str]) -> None:
    """It knows what they mean."""
    assert await post({**plain(server), **setting}) == 200
    assert server.askers == ["prefect"]


@pytest.mark.parametrize(
    ("file", "text", "by"),
    [
        ("home/profiles.toml", 'active = "a"', "prefect"),
        ("prefect.toml", "[api]", "prefect"),
        ("pyproject.toml", "[tool.prefect.api]", "prefect"),
        (".env", "PREFECT_API_KEY=a", "prefect"),
        ("pyproject.toml", "[tool.ruff]", "quick"),
        (".env", "OTHER=a", "quick"),
    ],
)
async def test_so_are_files_with_settings(server: Server, file: str, text: str, by: str) -> None:
    """Others of the same name do not matter."""
    path = Path(file)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert await post(plain(server)) == 200
    assert server.askers == [by]


async def test_what_is_refused_is_asked_again(server: Server) -> None:
    """By Prefect's client, which knows when to try once more, and goes on from there."""
    server.refusals = [503, 503]
    async with quick_client(plain(server)) as client:
        assert (await client.request("POST", "/events", json=[])).json() == "yes"
        await client.request("POST", "/events", json=[])
    assert server.askers == ["quick", "prefect", "prefect", "prefect"]


async def test_a_refusal_that_lasts_is_prefects(server: Server) -> None:
    """By its name."""
    server.refusals = [401] * 9
    with pytest.raises(PrefectUnauthorized), prefect_errors():
        await post(plain(server))


@pytest.mark.parametrize("version", ["2.20.4", "4.0.0"])
async def test_another_major_version(server: Server, version: str) -> None:
    """Nothing is asked of it but that."""
    server.version = version
    with pytest.raises(PrefectProtocolError):
        await post(plain(server))
    assert server.askers == []


@pytest.mark.parametrize("ui", [None, "https://prefect.example", "https://prefect.example/"])
def test_a_runs_page_is_prefects(server: Server, ui: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Prefect as with it."""
    env = plain(server, **({"PREFECT_UI_URL": ui} if ui else {}))
    with temporary_settings({PREFECT_UI_URL: ui or server.api.removesuffix("/api")}):
        theirs = url_for("flow-run", obj_id=RUN)
    monkeypatch.delitem(sys.modules, "prefect")
    assert run_page(RUN, env) == theirs
