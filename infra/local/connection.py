"""What a release needs to know of the running stack (addresses, no secrets), and its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from prefect_slipway.infra.domain.errors import StackDown

STATE_FILE = "stack.json"


class StackConnection(NamedTuple):
    """Where the parts are, embedded or the user's own."""

    home: Path
    builder: str
    """Address of the builder: `docker://SOCKET` or `unix://SOCKET`."""
    builder_network: str | None
    """`host`: RUN steps have to use the host's network, as a private engine has no bridge; None: no need."""
    registry: str | None
    """The embedded registry's `127.0.0.1:PORT`; None with your own Vault: images name theirs."""
    registry_secret: str | None
    """Where its credential is, as `vault:MOUNT/PATH`; None without an embedded registry."""
    vault_address: str
    approle_file: Path | None
    """JSON (0600) with the embedded Vault's `role_id` and `secret_id`; None with your own Vault."""
    prefect_api_url: str
    prefect_ui_url: str
    signing_key: str | None = None
    """The embedded Vault's key that signs releases to the embedded registry, as `vault:MOUNT/KEY`; None for none."""


class StackState(NamedTuple):
    """A stack that was brought up. `private_engine`: the builder is a private one, started by Slipway."""

    connection: StackConnection
    private_engine: bool


def write_state(state: StackState) -> None:
    from prefect_slipway.infra.common.private_files import write_private

    values = {"connection": state.connection._asdict(), "private_engine": state.private_engine}
    write_private(state.connection.home / STATE_FILE, json.dumps(values, default=str, indent=2) + "\n")


def read_connection(home: Path) -> StackConnection:
    """The connection that was noted last, whether or not all of it still runs. Raises StackDown."""
    return read_state(home).connection


def read_state(home: Path) -> StackState:
    """What `write_state` noted last. Raises StackDown when there is nothing, or another version's."""
    try:
        values = json.loads((home / STATE_FILE).read_text(encoding="utf-8"))
        connection = values["connection"]
        approle = connection.pop("approle_file")
        connection |= {"home": home, "approle_file": Path(approle) if approle else None}
        return StackState(StackConnection(**connection), bool(values["private_engine"]))
    except FileNotFoundError as error:
        raise StackDown(f"the embedded stack is not running in {home}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise StackDown(f"{home / STATE_FILE} cannot be read: it may come from another version") from error
