"""Environment variables to set before Prefect is imported, because Prefect reads its settings at import."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_slipway.infra.common.proxies import spare_loopback
from prefect_slipway.infra.domain.errors import StackDown

if TYPE_CHECKING:
    from prefect_slipway.infra.local.connection import StackConnection


def use_prefect_server() -> None:
    """Point Prefect at the server to record with: PREFECT_API_URL, else the embedded one.

    Raises StackDown, InvalidOption for what is not an address and for CAs that Prefect's client cannot read.
    """
    from prefect_slipway.infra.common.tls import unusable_cas
    from prefect_slipway.infra.local.config import StackConfig

    # Prefect reads them when it is imported, also where its server needs none, and logs a traceback.
    if cas := unusable_cas(os.environ, ["SSL_CERT_FILE"]):
        raise cas
    config = StackConfig.from_env(os.environ)
    if config.own_prefect_url is None:
        from prefect_slipway.infra.local.stack import Stack

        try:
            connection = Stack(config).connection()
        except StackDown as error:
            raise StackDown(
                f"no Prefect server is configured, and {error.cause}",
                action="run `slipway up`, or set PREFECT_API_URL to your own server",
            ) from error
        _use(connection)
    else:
        spare_loopback()
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # The automation on dead runs (deployments/automations) waits for these; Prefect's default is 180 s.
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "prefect_slipway")
    # A command without a flow also logs, but has no run to log to.
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    # Slipway writes to the terminal: Prefect's console handler would print everything a second time.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


def register_blocks(connection: StackConnection) -> None:
    """Register Slipway's blocks for the UI, once for each version of their code, because importing Prefect takes a
    second."""
    code = sorted((Path(__file__).parents[2] / "blocks").glob("*.py"))
    state = hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()
    mark = _client_folder(connection) / "blocks"
    known = f"{connection.prefect_api_url} {state}\n"
    if mark.exists() and mark.read_text(encoding="utf-8") == known:
        return
    _use(connection)
    from prefect_slipway.flows.registration.blocks import BLOCK_TYPES

    async def register() -> None:
        for block in BLOCK_TYPES:
            await block.aregister_type_and_schema()

    asyncio.run(register())
    mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark.write_text(known, encoding="utf-8")


def rename_histories(connection: StackConnection, before: str) -> None:
    """Keep the history of the embedded registry's images, formerly named `before`/NAME. Raises PrefectErrors."""
    from prefect_slipway.infra.local.registry import repositories

    names = repositories(connection.home)
    if not names:
        return
    _use(connection)
    from prefect import get_client

    from prefect_slipway.flows.reporting.history import rename
    from prefect_slipway.flows.server.errors import prefect_errors

    async def rename_all() -> None:
        with prefect_errors():
            async with get_client() as client:
                for name in names:
                    await rename(client, f"{before}/{name}", f"{connection.registry}/{name}")

    asyncio.run(rename_all())


def _use(connection: StackConnection) -> None:
    spare_loopback()
    os.environ["PREFECT_API_URL"] = connection.prefect_api_url
    os.environ.setdefault("PREFECT_UI_URL", connection.prefect_ui_url)
    # Separate client settings for the embedded server, so that the user's profile for another server does not
    # interfere.
    if "PREFECT_HOME" not in os.environ:
        os.environ["PREFECT_HOME"] = str(_client_folder(connection))
        os.environ.pop("PREFECT_PROFILE", None)  # a name among the user's own
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # It is this installation's Prefect, and has no CSRF tokens: each client would ask for its version and for one.
    os.environ.setdefault("PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED", "false")
    os.environ.setdefault("PREFECT_CLIENT_CSRF_SUPPORT_ENABLED", "false")


def _client_folder(connection: StackConnection) -> Path:
    return connection.home / "prefect-client"
