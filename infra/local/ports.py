"""The ports of the embedded parts: the configured ones, else the last ones, else the defaults."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from prefect_slipway.infra.common.private_files import write_private
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.local.config import StackConfig

PORTS_FILE = "ports.json"


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1; the defaults are those of the programs themselves and of their manuals."""

    registry: int = 5000
    vault: int = 8200
    prefect: int = 4200


def settle_ports(config: StackConfig) -> Ports:
    """The ports to use. Raises InvalidOption when two parts would share one."""
    last = last_ports(config.home)
    ports = Ports(
        registry=config.registry_port or last.registry,
        vault=config.vault_port or last.vault,
        prefect=config.prefect_port or last.prefect,
    )
    if len(set(dataclasses.astuple(ports))) < 3:
        raise InvalidOption(
            f"registry ({ports.registry}), Vault ({ports.vault}) and Prefect ({ports.prefect}) need three "
            "different ports",
            action="choose them with --registry-port, --vault-port and --prefect-port",
        )
    return ports


def remember_ports(home: Path, ports: Ports) -> None:
    """Note them for the next start, so that a port that was chosen once need not be named again."""
    if last_ports(home) != ports:
        write_private(home / PORTS_FILE, json.dumps(dataclasses.asdict(ports)) + "\n")


def last_ports(home: Path) -> Ports:
    """Those of the last start, the defaults if there was none."""
    try:
        return Ports(**json.loads((home / PORTS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Ports()
