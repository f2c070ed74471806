"""Cache imports and exports: how they are asked for, and the attributes that only the client knows.

As cmd/buildctl/build/importcache.go, exportcache.go, util.go and parseCacheOptions in client/solve.go (moby/buildkit).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from flows.domain.errors import InvalidOption
from infra.buildkit.layout import Layout

_log = logging.getLogger(__name__)


class CacheEntry(NamedTuple):
    """One cache import or export: `type` such as registry, inline, local, gha, s3, and that type's attributes (some are
    secrets: `repr` leaves them out)."""

    type: str
    attributes: Mapping[str, str] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"CacheEntry(type={self.type!r})"


def resolved_imports(entries: Iterable[CacheEntry], env: Mapping[str, str]) -> list[CacheEntry]:
    """What the daemon is told of `entries`: with the digest of a local one; local ones that are not there (yet) are
    left out, with a line in the log. Raises InvalidOption."""
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
        else:
            found.append(_with_env(entry, env))
    return found


def resolved_exports(entries: Iterable[CacheEntry], env: Mapping[str, str]) -> list[CacheEntry]:
    """What the daemon is told of `entries`. `mode` is `min` unless it is said. Raises InvalidOption."""
    found = []
    for entry in entries:
        _check(entry, "dest")
        found.append(_with_env(CacheEntry(entry.type, {"mode": "min", **entry.attributes}), env))
    return found


def local_layouts(imports: Iterable[CacheEntry], exports: Iterable[CacheEntry]) -> dict[str, Layout]:
    """The layouts that local entries read and write, by the ids that the daemon asks for (cache/remotecache/local)."""
    paths = {entry.attributes["src"] for entry in imports if entry.type == "local"}
    paths |= {entry.attributes["dest"] for entry in exports if entry.type == "local"}
    return {f"local:{path}": Layout(Path(path)) for path in paths}


def _check(entry: CacheEntry, place: str) -> None:
    if not entry.type:
        raise InvalidOption("a cache entry needs a type", action="e.g. type=registry,ref=…")
    wanted = {"local": place, "registry": "ref"}.get(entry.type)
    if wanted is not None and not entry.attributes.get(wanted):
        raise InvalidOption(f"a cache entry of type {entry.type} needs {wanted}=…")


def _with_env(entry: CacheEntry, env: Mapping[str, str]) -> CacheEntry:
    """GitHub's cache is found by what its runner puts into the environment."""
    if entry.type != "gha":
        return entry
    attributes = dict(entry.attributes)
    second = attributes.get("version") == "2" or (
        "version" not in attributes and env.get("ACTIONS_CACHE_SERVICE_V2", "").lower() in {"1", "t", "true"}
    )
    results = env.get("ACTIONS_RESULTS_URL")
    if second and results:
        attributes.setdefault("url_v2", results)
    if url := env.get("ACTIONS_CACHE_URL", results):
        attributes.setdefault("url", url)
    if token := env.get("ACTIONS_RUNTIME_TOKEN"):
        attributes.setdefault("token", token)
    for key, variable in (("url", "ACTIONS_CACHE_URL"), ("token", "ACTIONS_RUNTIME_TOKEN")):
        if key not in attributes and not (key == "url" and "url_v2" in attributes):
            raise InvalidOption(f"the cache of type gha needs {key}=… or {variable}")
    return CacheEntry("gha", attributes)
