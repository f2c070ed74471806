"""Prefect's UI in Debian's chromium. Nothing but the stack's own server is reached."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Error, Page, Route, ViewportSize, sync_playwright

from tests.conftest import RunningStack

_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A busy machine takes its time with a UI of many modules.
_PATIENCE_MS = 60_000
VIEWPORT = ViewportSize(width=1400, height=1000)


# For a module, not for the session: while Playwright runs, this thread has an event loop that async tests stumble over.
@pytest.fixture(scope="module")
def tab(stack: RunningStack) -> Iterator[Page]:
    """A browser that is new to the server. Each test loads its pages in this tab, as one that has compiled the UI's
    modules before takes half the time for it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_OPTIONS))
        # Nobody watches the animations, which are drawn without a GPU.
        context = browser.new_context(viewport=VIEWPORT, reduced_motion="reduce")
        context.set_default_timeout(_PATIENCE_MS)
        context.route("**/*", _OnlyTheServer(stack.connection.prefect_ui_url))
        yield context.new_page()
        context.unroute_all(behavior="ignoreErrors")
        browser.close()


@pytest.fixture
def page(tab: Page) -> Iterator[Page]:
    """A page in which no script failed."""
    errors: list[str] = []

    def note(error: Error) -> None:
        errors.append(str(error))

    tab.on("pageerror", note)
    tab.set_viewport_size(VIEWPORT)
    yield tab
    tab.remove_listener("pageerror", note)
    assert errors == []


class _OnlyTheServer:
    """Fetches for the browser: chromium gives requests up whenever a network interface comes or goes, as containers'
    do. A connection that the server closed meanwhile is opened again. Keeps the UI's modules, which are many and the
    same for each page.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._modules: dict[str, tuple[int, dict[str, str], bytes]] = {}

    def __call__(self, route: Route) -> None:
        url = route.request.url
        if not url.startswith(self._server):
            route.abort()
        elif "/assets/" in url:
            if url not in self._modules:
                answer = route.fetch(max_retries=3)
                self._modules[url] = answer.status, answer.headers, answer.body()
            status, headers, body = self._modules[url]
            route.fulfill(status=status, headers=headers, body=body)
        else:
            route.fulfill(response=route.fetch(max_retries=3))
