"""Ask Prefect's REST API without Prefect, which takes a second to import: for commands that ask for very little.

It only does what is plain. Whatever else there is to know (settings in files, TLS, CSRF tokens, when to try again, what
a refusal is called) Prefect's own client knows: where anything is not plain, it takes over and asks again.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import httpx

# Prefect's settings that the connection depends on, and those of them that are understood here.
_OF_CONNECTIONS = ("PREFECT_API_", "PREFECT_CLIENT_", "PREFECT_CLOUD_", "PREFECT_PROFILE", "PREFECT_TESTING_")
_PLAIN = {
    "PREFECT_API_URL",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
    # When Prefect's client tries again; here nothing is tried twice.
    "PREFECT_CLIENT_MAX_RETRIES",
    "PREFECT_CLIENT_RETRY_JITTER_FACTOR",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES",
    # What Prefect's client asks first; here the version is always asked for, and a server that wants a token refuses.
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED",
    "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED",
}
# Files in which Prefect finds further settings, and how those begin there (prefect/settings/sources.py).
_FILES = {".env": b"PREFECT_", "prefect.toml": b"", "pyproject.toml": b"[tool.prefect"}
_TIMEOUT_S = 60.0
"""Without a byte; Prefect's default (`api.request_timeout`)."""
_FIRST_TIMEOUT_S = 5.0


class Client(Protocol):
    """Prefect's REST API: Prefect's own client, or a quick one."""

    async def request(self, method: Any, path: Any, *, json: Any = None) -> httpx.Response:
        """A successful answer. `path`: below PREFECT_API_URL. Raises what Prefect's client raises."""
        ...


@asynccontextmanager
async def quick_client(env: Mapping[str, str] = os.environ) -> AsyncIterator[Client]:
    """A client whose server was reached, and is of Slipway's major version. Raises PrefectErrors."""
    async with AsyncExitStack() as exits:
        client = _Quick(exits)
        if _is_plain(env):
            await client.open(env)
        else:
            await client.leave()
        yield client


def run_page(run_id: str, env: Mapping[str, str] = os.environ) -> str:
    """The address of a flow run's page, "" without a UI."""
    if "prefect" in sys.modules or not _is_plain(env):
        from prefect.utilities.urls import url_for

        return url_for("flow-run", obj_id=run_id) or ""
    ui = env.get("PREFECT_UI_URL") or env["PREFECT_API_URL"].removesuffix("/api")
    return f"{ui.rstrip('/')}/runs/flow-run/{run_id}"


class _Quick:
    def __init__(self, exits: AsyncExitStack) -> None:
        self._exits = exits
        self._http: httpx.AsyncClient | None = None
        self._prefects: Client | None = None

    async def open(self, env: Mapping[str, str]) -> None:
        url = env["PREFECT_API_URL"]
        # Certificates take long to load: not where none is used.
        http = httpx.AsyncClient(
            base_url=url, headers=_authorization(env), timeout=_FIRST_TIMEOUT_S, verify=not url.startswith("http:")
        )
        self._http = await self._exits.enter_async_context(http)
        answer = await self.request("GET", "/admin/version")
        if self._prefects is None and not _is_ours(answer):
            await self.leave()
        http.timeout = httpx.Timeout(_TIMEOUT_S)

    async def leave(self) -> None:
        """Let Prefect's client go on. Raises PrefectErrors."""
        from prefect_slipway.flows.server.errors import prefect_client

        self._prefects = await self._exits.enter_async_context(prefect_client())

    async def request(self, method: str, path: str, *, json: Any = None) -> httpx.Response:
        if self._prefects is None and self._http is not None:
            try:
                answer = await self._http.request(method, path, json=json)
            except (httpx.HTTPError, httpx.InvalidURL):
                answer = None
            if answer is not None and answer.is_success:
                return answer
            await self.leave()
        assert self._prefects is not None, "it is opened before it is used"
        return await self._prefects.request(method, path, json=json)


def _is_plain(env: Mapping[str, str]) -> bool:
    settings = {name for name, text in env.items() if text and name.startswith(_OF_CONNECTIONS)}
    if not settings <= _PLAIN or not env.get("PREFECT_API_URL", "").endswith("/api"):
        return False
    home = Path(env.get("PREFECT_HOME") or "~/.prefect").expanduser()
    return not (home / "profiles.toml").exists() and not any(
        Path(name).exists() and mark in Path(name).read_bytes() for name, mark in _FILES.items()
    )


def _authorization(env: Mapping[str, str]) -> dict[str, str]:
    """As Prefect's client has it: the server's string before a key."""
    if text := env.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
    if key := env.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    return {}


def _is_ours(answer: httpx.Response) -> bool:
    """Whether the server is of this client's major version; Prefect's client says what else it is."""
    try:
        there = answer.json()
    except ValueError:
        return False
    return isinstance(there, str) and there.partition(".")[0] == version("prefect").partition(".")[0]
