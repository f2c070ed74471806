"""The credential helper that docker, podman, skopeo, cosign and oras use for a registry: `credHelpers` in their files.

Sources: docker/cli, cli/config/configfile/file.go (keys are host names, Docker Hub's is its old index address);
containers-auth.json(5), containers/image pkg/docker/config (in a file the helper goes before `auths`, of the files the
first that knows the registry counts, and REGISTRY_AUTH_FILE stands for all of them).
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect_slipway.infra.common.docker_auths import HUB_KEY
from prefect_slipway.infra.common.docker_config import docker_config_file
from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.reference import DOCKER_HUB

_HELPERS = "credHelpers"


def config_files(env: Mapping[str, str]) -> list[Path]:
    """The files in which a helper has to be named for all of them to ask it.

    Docker's file, which the others read as well, and REGISTRY_AUTH_FILE; else podman's and skopeo's own, where they
    exist: an entry there would go before docker's.
    """
    files = [docker_config_file(env)]
    if named := env.get("REGISTRY_AUTH_FILE"):
        return [*files, Path(named).absolute()]
    runtime = Path(env.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}")
    config = Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folders = [runtime / "containers" if env.get("XDG_RUNTIME_DIR") else runtime, config / "containers"]
    return [*files, *(file for folder in folders if (file := folder / "auth.json").exists())]


def keys_of(registry: str) -> list[str]:
    """The names of `registry` (a host, or `docker.io`) as keys of `credHelpers`."""
    return [DOCKER_HUB, HUB_KEY] if registry == DOCKER_HUB else [registry]


def set_helper(file: Path, keys: Sequence[str], helper: str) -> dict[str, str | None]:
    """Name `helper` for each of the keys; gives what was named before, None where nothing was.

    Everything else in the file stays as it is, and so do its indentation, mode and owner. Raises InvalidOption for a
    file that cannot be read or written.
    """
    before: dict[str, str | None] = {}

    def change(helpers: dict[str, str]) -> None:
        before.update({key: helpers.get(key) for key in keys})
        helpers.update(dict.fromkeys(keys, helper))

    _change(file, change)
    return before


def restore_helpers(file: Path, helper: str, before: Mapping[str, str | None]) -> None:
    """Where `helper` is named, name what was named before. A file that has nothing else goes. Raises InvalidOption."""

    def change(helpers: dict[str, str]) -> None:
        for key, other in before.items():
            if helpers.get(key) == helper:
                del helpers[key]
                helpers.update({key: other} if other is not None else {})

    _change(file, change)


def _change(file: Path, change: Callable[[dict[str, str]], None]) -> None:
    text = _read(file)
    document = _document(file, text)
    helpers = dict(document.get(_HELPERS) or {})
    change(helpers)
    if helpers == (document.get(_HELPERS) or {}):
        return
    document[_HELPERS] = helpers
    if not helpers:
        del document[_HELPERS]
    try:
        _replace(file, _formatted(document, like=text) if document else "")
    except OSError as error:
        raise InvalidOption(
            f"{file} cannot be written ({error.strerror})",
            action=f'make its "{_HELPERS}" {json.dumps(helpers)}, or name a folder of your own in DOCKER_CONFIG',
        ) from error


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"{file} cannot be read", action="fix or remove it") from error


def _document(file: Path, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise InvalidOption(f"{file} is not JSON ({error})", action="fix or remove it") from error
    if not isinstance(document, dict) or not isinstance(document.get(_HELPERS), dict | None):
        raise InvalidOption(f"{file} is not a configuration of docker or podman", action="fix or remove it")
    return document


def _formatted(document: Mapping[str, Any], *, like: str) -> str:
    """JSON with the indentation, separators and final newline of another text; docker's own for an empty one."""
    indent = match[1] if (match := re.match(r"\s*\{\r?\n([ \t]*)\"", like)) else None if like.strip() else "\t"
    compact = indent is None and '": ' not in like
    end = "" if like and not like.endswith("\n") else "\n"
    return json.dumps(document, indent=indent, ensure_ascii=False, separators=(",", ":") if compact else None) + end


def _replace(file: Path, text: str) -> None:
    """Put `text` in the file's place at once; a link stays a link. Empty: remove it."""
    file = file.resolve()
    if not text:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.write(text)
        if file.exists():
            status = file.stat()
            Path(temporary).chmod(status.st_mode & 0o7777)
            with suppress(PermissionError):
                os.chown(temporary, status.st_uid, status.st_gid)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
