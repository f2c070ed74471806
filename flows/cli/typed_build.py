"""Build options that a person types: paths are relative to here, and what they name is thereby allowed.

A deployment's options name Vault; what they use of the worker's machine must be allowed (`Build.allow`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prefect_slipway.flows.build_options import entries
from prefect_slipway.flows.build_options.beside import Beside
from prefect_slipway.infra.buildkit.session.sources import SecretEnv, SecretFile
from prefect_slipway.infra.domain.options import attributes, csv_line


def typed_build(values: dict[str, Any]) -> dict[str, Any]:
    """The section `build` of a request. Raises InvalidOption."""
    allow = list(values.get("allow", []))
    typed = {
        **values,
        "secrets": [_secret(text, allow) for text in values.get("secrets", [])],
        "ssh": [_ssh(text, allow) for text in values.get("ssh", [])],
        "cache_from": [_cache(text, "src", "fs.read", allow) for text in values.get("cache_from", [])],
        "cache_to": [_cache(text, "dest", "fs.write", allow) for text in values.get("cache_to", [])],
        "outputs": [_output(text, allow) for text in values.get("outputs", [])],
        "contexts": {name: _context(place, allow) for name, place in values.get("contexts", {}).items()},
    }
    if values.get("network") == "host":
        allow.append("network.host")
    return {**typed, "allow": list(dict.fromkeys(allow))}


def _secret(text: str, allow: list[str]) -> str:
    name, source = entries.secret("--secret", text, os.environ)
    if isinstance(source, SecretEnv):
        allow.append(f"env={source.name}")
        return csv_line([f"id={name}", f"env={source.name}"])
    if isinstance(source, SecretFile):
        path = source.path.absolute()
        allow.append(f"fs.read={path}")
        return csv_line([f"id={name}", f"src={path}"])
    return text


def _cache(text: str, place: str, permission: str, allow: list[str]) -> str:
    if "=" not in text:
        return text
    fields = attributes("--cache-from" if place == "src" else "--cache-to", text)
    if fields.get("type") != "local" or not fields.get(place):
        return text
    path = Path(fields[place]).absolute()
    allow.append(f"{permission}={path}")
    return csv_line([f"{key}={value}" for key, value in {**fields, place: str(path)}.items()])


def _output(text: str, allow: list[str]) -> str:
    output = Beside.read(text)
    output = output._replace(dest=output.dest.absolute())
    allow.append(f"fs.write={output.dest}")
    return str(output)


def _ssh(text: str, allow: list[str]) -> str:
    if entries.ssh_keys(text) is not None:
        return text
    allow.append("ssh")
    name, source = entries.ssh_agent(text)
    words = [*(str(path.absolute()) for path in source.paths), *(["raw=true"] if source.raw else [])]
    return f"{name}={','.join(words)}" if words else name


def _context(place: str, allow: list[str]) -> str:
    where = entries.context_place(place)
    if not isinstance(where, Path):
        return place
    path = where.absolute()
    allow.append(f"fs.read={path}")
    return str(path)
