"""The configuration of the embedded stack: environment variables, overridden by command line options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.local.home import stack_home


@dataclass(frozen=True)
class StackConfig:
    """Where the stack lives and what it listens on; every part listens on 127.0.0.1 only."""

    home: Path
    """The one folder with all state, absolute. SLIPWAY_HOME; unset, the platform's data folder, because what
    lies there (released images, the record of runs) is the user's data and no cache."""

    registry_port: int | None = None
    """TCP port of the registry. SLIPWAY_REGISTRY_PORT; None is the one of last time, at first 5000."""

    rename_images: bool = False
    """Whether another `registry_port` than last time's may rename the images that the registry has."""

    vault_port: int | None = None
    """TCP port of OpenBao. SLIPWAY_VAULT_PORT; None is the one of last time, at first 8200."""

    prefect_port: int | None = None
    """TCP port of Prefect's API and UI. SLIPWAY_PREFECT_PORT; None is the one of last time, at first 4200."""

    prefect_database: str | None = field(default=None, repr=False)
    """PostgreSQL URL of Prefect's database, may hold a password. SLIPWAY_PREFECT_DATABASE; None is SQLite
    below `home`, which needs no server and is enough for one user."""

    own_prefect_url: str | None = None
    """PREFECT_API_URL: your own Prefect server; None starts the embedded one."""

    own_prefect_ui_url: str | None = None
    """PREFECT_UI_URL: where that server's UI is; None derives it from its API's address."""

    own_vault_address: str | None = None
    """VAULT_ADDR: your own Vault; None starts the embedded one. With it the embedded registry is
    not started either, as its password is kept nowhere but in the embedded Vault."""

    sign: bool = True
    """Whether releases to the embedded registry are signed with the embedded Vault's key unless a request says
    otherwise. SLIPWAY_SIGN; `none` for no."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> StackConfig:
        """Read the variables named above; empty ones count as unset. Raises InvalidOption."""
        return cls(
            home=stack_home(env),
            registry_port=_port(env, "SLIPWAY_REGISTRY_PORT"),
            vault_port=_port(env, "SLIPWAY_VAULT_PORT"),
            prefect_port=_port(env, "SLIPWAY_PREFECT_PORT"),
            prefect_database=_database(env),
            own_prefect_url=_url(env, "PREFECT_API_URL"),
            own_prefect_ui_url=_url(env, "PREFECT_UI_URL"),
            own_vault_address=_url(env, "VAULT_ADDR"),
            sign=_signs(env),
        )


def _port(env: Mapping[str, str], name: str) -> int | None:
    text = env.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise InvalidOption(f"{name}: {text!r} is not a port", action="use a number from 1 to 65535")
    return int(text)


def _signs(env: Mapping[str, str]) -> bool:
    text = env.get("SLIPWAY_SIGN")
    if text not in {None, "", "none"}:
        raise InvalidOption(
            f"SLIPWAY_SIGN: {text!r} is not a valid value",
            action="set it to `none` for releases without signatures, or unset it; choose another key with --sign",
        )
    return text != "none"


def _url(env: Mapping[str, str], name: str) -> str | None:
    text = env.get(name)
    if not text:
        return None
    if urlsplit(text).scheme not in {"http", "https"}:
        raise InvalidOption(f"{name} is not an http:// or https:// address", action=f"fix or unset {name}")
    return text.rstrip("/")


def _database(env: Mapping[str, str]) -> str | None:
    url = env.get("SLIPWAY_PREFECT_DATABASE")
    if not url:
        return None
    if urlsplit(url).scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
        # The value is not repeated: it may hold a password.
        raise InvalidOption(
            "SLIPWAY_PREFECT_DATABASE is not a postgresql:// address",
            action="use postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or unset it for SQLite",
        )
    return url
