"""Cache imports and exports: their options, and the attributes that only the client knows.

As cmd/buildctl/build/importcache.go, exportcache.go, util.go and parseCacheOptions in client/solve.go (moby/buildkit).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from prefect_slipway.infra.buildkit.files.oci_layout import Layout
from prefect_slipway.infra.domain.errors import InvalidOption

_log = logging.getLogger(__name__)


class CacheEntry(NamedTuple):
    """One cache import or export: `type` such as registry, inline, local, gha, s3, and that type's attributes (some are
    secrets: `repr` leaves them out). `surroundings`: whether a gha or s3 may take this process's token or keys."""

    type: str
    attributes: Mapping[str, str] = MappingProxyType({})
    surroundings: bool = True

    def __repr__(self) -> str:
        return f"CacheEntry(type={self.type!r})"


def resolved_imports(entries: Iterable[CacheEntry], env: Mapping[str, str]) -> list[CacheEntry]:
    """The attributes of `entries` for the daemon: a local cache's digest, GitHub's token, S3's keys. Local ones that
    do not exist (yet), and GitHub's outside of GitHub, are left out with a line in the log. Raises InvalidOption."""
    found = []
    for entry in entries:
        _check(entry, "src")
        if entry.type == "local":
            attributes = dict(entry.attributes)
            layout = Layout(Path(attributes["src"]))
            digest = attributes.setdefault("digest", "") or layout.digest(attributes.get("tag", "latest"))
            if digest is None or layout.size(digest) is None:
                _log.warning("no cache to import in %s yet", layout.path)
                continue
            found.append(CacheEntry("local", attributes | {"digest": digest}))
        elif (complete := _with_env(entry, env)) is not None:
            found.append(complete)
    return found


def resolved_exports(entries: Iterable[CacheEntry], env: Mapping[str, str]) -> list[CacheEntry]:
    """The attributes of `entries` for the daemon, as for imports. `mode` defaults to `min`. Raises InvalidOption."""
    found = []
    for entry in entries:
        _check(entry, "dest")
        complete = _with_env(entry._replace(attributes={"mode": "min", **entry.attributes}), env)
        if complete is not None:
            found.append(complete)
    return found


def local_layouts(imports: Iterable[CacheEntry], exports: Iterable[CacheEntry]) -> dict[str, Layout]:
    """The layouts that local entries read and write, by the ids that the daemon asks for (cache/remotecache/local).

    Raises InvalidOption."""
    paths = set()
    for place, entries in (("src", imports), ("dest", exports)):
        for entry in entries:
            _check(entry, place)
            if entry.type == "local":
                paths.add(entry.attributes[place])
    return {f"local:{path}": Layout(Path(path)) for path in paths}


def _check(entry: CacheEntry, place: str) -> None:
    if not entry.type:
        raise InvalidOption("a cache entry needs a type", action="e.g. type=registry,ref=…")
    wanted = {"local": place, "registry": "ref"}.get(entry.type)
    if wanted is not None and not entry.attributes.get(wanted):
        raise InvalidOption(f"a cache entry of type {entry.type} needs {wanted}=…")


def _with_env(entry: CacheEntry, env: Mapping[str, str]) -> CacheEntry | None:
    """The entry with what its type takes from the environment; None, and a line in the log, if it has none here."""
    if entry.type not in {"gha", "s3"}:
        return entry
    # Imported late, so that `slipway build` starts fast.
    from prefect_slipway.infra.buildkit.build.cache_environment import aws_attributes, github_attributes

    env = env if entry.surroundings else {}
    if entry.type == "s3":
        return CacheEntry("s3", aws_attributes(entry.attributes, env))
    if (attributes := github_attributes(entry.attributes, env)) is None:
        _log.warning(
            "the cache of type gha is not used: without url=… (ACTIONS_CACHE_URL, ACTIONS_RESULTS_URL) and token=… "
            "(ACTIONS_RUNTIME_TOKEN) there is none%s",
            "" if entry.surroundings else "; a file may take them with --allow env=ACTIONS_RUNTIME_TOKEN",
        )
        return None
    return CacheEntry("gha", attributes)
