"""The notification example as people turn it on: with the address of a receiver of theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.prefect_server import PrefectServer
from tests.serving import serving

AUTOMATION = "Slipway: report failures"


@dataclass
class Heard:
    """What was posted to a receiver on `port`."""

    port: int
    said: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Heard]:
    """A receiver of notifications."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        heard = Heard(http.server_address[1])
        with serving(http):
            yield heard


@contextmanager
def notifying(server: PrefectServer) -> Iterator[Heard]:
    """The registered block gets the receiver's address, and the registered automation is on; nothing else of them is
    changed."""
    (automation,) = server.ask("POST", "/automations/filter", {"automations": {"name": {"any_": [AUTOMATION]}}})
    block = server.ask("GET", "/block_types/slug/custom-webhook/block_documents/name/slipway-notify")
    with listening() as heard:
        data = {"url": f"http://127.0.0.1:{heard.port}/", "json_data": block["data"]["json_data"]}
        server.ask("PATCH", f"/block_documents/{block['id']}", {"data": data, "merge_existing_data": True})
        server.ask("PATCH", f"/automations/{automation['id']}", {"enabled": True})
        try:
            yield heard
        finally:
            server.ask("PATCH", f"/automations/{automation['id']}", {"enabled": False})
