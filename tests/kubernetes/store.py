"""The objects of a small Kubernetes in this process: versions, watches, server-side apply, owners.

As the API server does it (apimachinery, apiserver), as far as Slipway relies on it: uids, resource versions, conflicts,
preconditions, deletion in the foreground, garbage collection of dependents.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str]
_FOREGROUND = "foregroundDeletion"


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, reason: str, message: str = "", **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message or reason,
            "details": details,
        }


class Store:
    """Objects by (plural, namespace, name)."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.events: list[tuple[int, str, Key, Object]] = []
        self.changed = asyncio.Condition()
        self.on_change: Callable[[], None] = lambda: None
        self._versions = itertools.count(1)
        self.version = 0
        self._loops = 0

    def get(self, key: Key) -> Object:
        if key not in self.objects:
            raise Refused(404, "NotFound", f'{key[0]} "{key[2]}" not found', name=key[2], kind=key[0])
        return self.objects[key]

    def select(self, plural: str, namespace: str, labels: str = "", fields: str = "") -> Iterator[tuple[Key, Object]]:
        for key, obj in list(self.objects.items()):
            if key[:2] == (plural, namespace) and matches(obj, labels, fields):
                yield key, obj

    def create(self, key: Key, obj: Object) -> Object:
        if key in self.objects:
            raise Refused(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists')
        made = copy.deepcopy(obj)
        made["metadata"] |= {
            "namespace": key[1],
            "uid": str(uuid.uuid4()),
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return self._put("ADDED", key, made)

    def update(self, key: Key, change: Callable[[Object], None], resource_version: str | None = None) -> Object:
        there = copy.deepcopy(self.get(key))
        if resource_version is not None and resource_version != there["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified")
        change(there)
        if there == self.objects[key]:
            return there
        if "generation" in there["metadata"] and there.get("spec") != self.objects[key].get("spec"):
            there["metadata"]["generation"] += 1
        return self._put("MODIFIED", key, there)

    def delete(self, key: Key, *, foreground: bool, uid: str | None = None, version: str | None = None) -> None:
        there = self.get(key)
        metadata = there["metadata"]
        if (uid or metadata["uid"]) != metadata["uid"] or (version or metadata["resourceVersion"]) != metadata[
            "resourceVersion"
        ]:
            raise Refused(409, "Conflict", "Precondition failed")
        held = list(metadata.get("finalizers") or ())
        if foreground and any(self.dependents(there)):
            held = sorted({*held, _FOREGROUND})
        if held:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

            def mark(obj: Object) -> None:
                obj["metadata"].setdefault("deletionTimestamp", now)
                obj["metadata"]["finalizers"] = held

            self.update(key, mark)
        else:
            self._drop(key)

    def dependents(self, owner: Object) -> Iterator[tuple[Key, Object]]:
        for key, obj in list(self.objects.items()):
            if any(ref["uid"] == owner["metadata"]["uid"] for ref in obj["metadata"].get("ownerReferences") or ()):
                yield key, obj

    def collect(self) -> None:
        """The garbage collector's round."""
        uids = {obj["metadata"]["uid"] for obj in self.objects.values()}
        for key, obj in list(self.objects.items()):
            metadata = obj["metadata"]
            references = metadata.get("ownerReferences") or ()
            if key not in self.objects:
                continue
            orphaned = references and not any(ref["uid"] in uids for ref in references)
            if orphaned or (metadata.get("deletionTimestamp") and not metadata.get("finalizers")):
                self._drop(key)
            elif metadata.get("deletionTimestamp") and _FOREGROUND in (metadata.get("finalizers") or ()):
                for dependent, child in self.dependents(obj):
                    if not child["metadata"].get("deletionTimestamp"):
                        self.delete(dependent, foreground=True)
                rest = [name for name in metadata["finalizers"] if name != _FOREGROUND]
                if key in self.objects and not any(self.dependents(obj)) and not rest:
                    self._drop(key)

    def _put(self, change: str, key: Key, obj: Object) -> Object:
        self.version = next(self._versions)
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = obj
        self._tell(change, key, obj)
        return obj

    def _drop(self, key: Key) -> None:
        gone = copy.deepcopy(self.objects.pop(key))
        self.version = next(self._versions)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell("DELETED", key, gone)

    def _tell(self, change: str, key: Key, obj: Object) -> None:
        self.events.append((self.version, change, key, copy.deepcopy(obj)))
        self.on_change()


def merged(base: Any, change: Any) -> Any:
    """RFC 7386, which server-side apply by one manager amounts to here."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


_BY_NAME = {"containers", "initContainers", "imagePullSecrets"}


def strategic(base: Any, change: Any) -> Any:
    """A strategic merge patch, as far as pod templates go: these lists are merged by name."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif key in _BY_NAME:
            items = {item["name"]: item for item in result.get(key) or ()}
            for item in value:
                if item.get("$patch") == "delete":
                    items.pop(item["name"], None)
                else:
                    items[item["name"]] = strategic(items.get(item["name"]), item)
            result[key] = list(items.values())
            if not items:
                del result[key]
        else:
            result[key] = strategic(result.get(key), value)
    return result


def matches(obj: Object, labels: str, fields: str) -> bool:
    found = obj["metadata"].get("labels") or {}
    wanted = [part.partition("=")[::2] for part in labels.split(",") if part]
    if any(found.get(key) != value for key, value in wanted):
        return False
    about = (obj.get("involvedObject") or {}).get("uid")
    return not fields or fields in {f"metadata.name={obj['metadata']['name']}", f"involvedObject.uid={about}"}
