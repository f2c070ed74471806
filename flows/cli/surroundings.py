"""What has to be in the environment before Prefect is imported: its settings are read then."""

from __future__ import annotations

import os

from flows.domain.errors import StackDown
from infra.local.config import StackConfig
from infra.local.stack import Stack


def use_prefect_server() -> None:
    """Point Prefect at the server to record with: PREFECT_API_URL, else the embedded one. Raises StackDown."""
    if not os.environ.get("PREFECT_API_URL"):
        try:
            connection = Stack(StackConfig.from_env(os.environ)).connection()
        except StackDown as error:
            raise StackDown(
                "no Prefect server to record the release with",
                action="run `slipway up`, or set PREFECT_API_URL to a server of your own",
            ) from error
        os.environ["PREFECT_API_URL"] = connection.prefect_api_url
        os.environ.setdefault("PREFECT_UI_URL", connection.prefect_ui_url)
        # The embedded server's own client settings: nothing of the user's profile for another server is mixed in.
        os.environ.setdefault("PREFECT_HOME", str(connection.home / "prefect-client"))
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "flows,infra")
    # The terminal is Slipway's: Prefect's console handler would say everything a second time.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
