"""The members of npm, uv, Cargo and Go workspaces, and which of them depends on which, from their own manifests.

Sources: npm's "workspaces" (docs.npmjs.com, package.json), uv's "Using workspaces", Cargo's book ("Workspaces",
"Specifying Dependencies"), Go's reference ("go.work files", "go.mod files").
"""

from __future__ import annotations

import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_slipway.infra.domain.errors import ReleaseFileInvalid
from prefect_slipway.infra.domain.patterns import matches

_MOST_BYTES = 1 << 20
_MOST_MEMBERS = 1_000
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_SKIPPED = {"node_modules", ".git", "target", ".venv"}


@dataclass(frozen=True, slots=True)
class Member:
    """`name`: as a component's. `path`: relative to the workspace, "" for its root. `needs`: paths of other members."""

    name: str
    path: str
    needs: tuple[str, ...] = ()


def members(kind: str, folder: Path) -> list[Member]:
    """The members of the workspace of this kind in a folder. Raises ReleaseFileInvalid for manifests that cannot be
    read."""
    return _READERS[kind](folder)


def _npm(folder: Path) -> list[Member]:
    root = _read(folder, "package.json", json.loads)
    listed = _list(root, "workspaces") or _list(_table(root, "workspaces"), "packages")
    patterns = [each for pattern in listed for each in _alternatives(pattern)]
    found = {
        path: _read(folder, f"{path}/package.json", json.loads) for path in _folders(folder, patterns, "package.json")
    }
    by_name = _by_name((str(manifest.get("name", path)), path) for path, manifest in found.items())
    kinds = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
    return [
        Member(_plain(name.rpartition("/")[2]), path, _among(by_name, _keys(found[path], kinds)))
        for name, path in by_name.items()
    ]


def _uv(folder: Path) -> list[Member]:
    root = _read(folder, "pyproject.toml", tomllib.loads)
    workspace = _table(root, "tool", "uv", "workspace")
    patterns = [*_list(workspace, "members"), *(f"!{each}" for each in _list(workspace, "exclude"))]
    found = {
        path: _read(folder, f"{path}/pyproject.toml", tomllib.loads)
        for path in _folders(folder, patterns, "pyproject.toml")
    }
    if "project" in root:
        found[""] = root
    by_name = _by_name(
        (_plain(str(_table(manifest, "project").get("name", path))), path) for path, manifest in found.items()
    )

    def wanted(manifest: Mapping[str, Any]) -> Iterator[str]:
        project = _table(manifest, "project")
        groups = (_table(project, "optional-dependencies"), _table(manifest, "dependency-groups"))
        of_uv = _list(_table(manifest, "tool", "uv"), "dev-dependencies")
        listed = [_list(project, "dependencies"), of_uv, *(_list(group, name) for group in groups for name in group)]
        for text in (text for texts in listed for text in texts):
            if name := re.match(r"\s*([A-Za-z0-9._-]+)", text):
                yield _plain(name[1])

    return [Member(name, path, _among(by_name, wanted(found[path]))) for name, path in by_name.items()]


def _cargo(folder: Path) -> list[Member]:
    root = _read(folder, "Cargo.toml", tomllib.loads)
    workspace = _table(root, "workspace")
    patterns = [*_list(workspace, "members"), *(f"!{each}" for each in _list(workspace, "exclude"))]
    found = {
        path: _read(folder, f"{path}/Cargo.toml", tomllib.loads) for path in _folders(folder, patterns, "Cargo.toml")
    }
    if "package" in root:
        found[""] = root
    excluded = [f"!{_inside(each)}" for each in _list(workspace, "exclude")]

    def wanted(path: str) -> Iterator[tuple[str, str]]:
        """The packages that it depends on by their place: names and places."""
        for table in (found[path], *_table(found[path], "target").values()):
            for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
                for name, said in _table(table, kind).items():
                    start = path
                    if isinstance(said, Mapping) and said.get("workspace"):
                        said, start = _table(workspace, "dependencies").get(name), ""
                    if isinstance(said, Mapping) and "path" in said:
                        yield (
                            str(said.get("package", name)),
                            posixpath.normpath(posixpath.join(start, str(said["path"]))),
                        )

    # What a member depends on by its place is a member as well.
    waiting = list(found)
    while waiting:
        for _, place in wanted(waiting.pop()):
            inside = place not in {".", ".."} and not place.startswith(("../", "/"))
            new = inside and place not in found and matches(["**", *excluded], place)
            if new and (folder / place / "Cargo.toml").is_file():
                found[place] = _read(folder, f"{place}/Cargo.toml", tomllib.loads)
                waiting.append(place)
                _check_number(found)
    by_name = _by_name((str(_table(manifest, "package").get("name", path)), path) for path, manifest in found.items())
    return [
        Member(_plain(name), path, _among(by_name, (each for each, _ in wanted(path))))
        for name, path in by_name.items()
    ]


def _go(folder: Path) -> list[Member]:
    work = _words(_text(folder, "go.work"))
    paths = [path for directive, (path, *_) in work if directive == "use"]
    found = {path: _words(_text(folder, f"{path}/go.mod")) for path in (_inside(path) for path in paths)}
    by_name = _by_name(
        (next((words[0] for directive, words in lines if directive == "module"), path), path)
        for path, lines in found.items()
    )
    return [
        Member(
            _plain(re.sub(r"/v[0-9]+$", "", name).rpartition("/")[2]),
            path,
            _among(by_name, (words[0] for directive, words in found[path] if directive == "require")),
        )
        for name, path in by_name.items()
    ]


_READERS: Mapping[str, Callable[[Path], list[Member]]] = {"npm": _npm, "uv": _uv, "cargo": _cargo, "go": _go}


def _folders(folder: Path, patterns: Sequence[str], manifest: str) -> list[str]:
    """The folders with a manifest that the patterns select."""
    without = [f"!{_inside(pattern[1:])}" for pattern in patterns if pattern.startswith("!")]
    found: dict[str, None] = {}
    for pattern in (_inside(pattern) for pattern in patterns if not pattern.startswith("!")):
        try:
            paths = sorted(folder.glob(f"{pattern}/{manifest}"))
        except ValueError:
            raise ReleaseFileInvalid(f"{manifest}: the workspace's member {pattern!r} is not a pattern") from None
        for where in (path.parent.relative_to(folder) for path in paths):
            if where.parts and not set(where.parts) & _SKIPPED and matches(["**", *without], where.as_posix()):
                found[where.as_posix()] = None
        _check_number(found)
    return list(found)


def _check_number(found: Collection[str]) -> None:
    if len(found) > _MOST_MEMBERS:
        raise ReleaseFileInvalid(f"the workspace has more than {_MOST_MEMBERS} members")


def _alternatives(pattern: str) -> list[str]:
    """A pattern with braces (`packages/{api,web}`), as patterns without."""
    found, waiting = [], [pattern]
    while waiting:
        each = waiting.pop()
        if braces := _BRACES.search(each):
            waiting += [f"{each[: braces.start()]}{one}{each[braces.end() :]}" for one in braces[1].split(",")][::-1]
        else:
            found.append(each)
        _check_number([*waiting, *found])
    return found


def _by_name(members: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The members' paths. Raises ReleaseFileInvalid for a name that two of them have, as their tools do."""
    found: dict[str, str] = {}
    for name, path in members:
        if (other := found.setdefault(name, path)) != path:
            raise ReleaseFileInvalid(
                f"two members of the workspace are called {name}: {other!r} and {path!r}", action="rename one of them"
            )
    return found


def _inside(path: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if path.startswith("/") or ".." in parts:
        raise ReleaseFileInvalid(f"the workspace's member {path!r} is outside of it", action="use members inside it")
    return "/".join(parts)


def _among(by_name: Mapping[str, str], names: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(by_name[name] for name in names if name in by_name))


def _keys(manifest: Mapping[str, Any], kinds: Sequence[str]) -> Iterator[str]:
    for kind in kinds:
        yield from _table(manifest, kind)


def _table(manifest: Any, *place: str) -> Mapping[str, Any]:
    for name in place:
        manifest = manifest.get(name) if isinstance(manifest, Mapping) else None
    return manifest if isinstance(manifest, Mapping) else {}


def _list(manifest: Mapping[str, Any], name: str) -> list[str]:
    """Its texts: a group of uv's may hold a table, which includes another one."""
    found = manifest.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _plain(name: str) -> str:
    """As a component may be called; Python's names are compared so as well (PEP 503)."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "component"


def _words(text: str) -> list[tuple[str, list[str]]]:
    """The directives of a go.mod or go.work file, those in blocks one by one."""
    found = []
    block = ""
    for line in text.splitlines():
        words = [word.strip('"`') for word in line.partition("//")[0].split()]
        if words == [")"]:
            block = ""
        elif len(words) == 2 and words[1] == "(":
            block = words[0]
        elif words and block:
            found.append((block, words))
        elif len(words) > 1:
            found.append((words[0], words[1:]))
    return found


def _read(folder: Path, name: str, parse: Callable[[str], Any]) -> Mapping[str, Any]:
    try:
        found = parse(_text(folder, name))
    except (ValueError, RecursionError):
        raise ReleaseFileInvalid(f"{name} cannot be read", action="check its syntax") from None
    return found if isinstance(found, Mapping) else {}


def _text(folder: Path, name: str) -> str:
    name = name.removeprefix("/")
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ReleaseFileInvalid(f"{name} is outside the source", action="use a workspace without such a link")
        with path.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ReleaseFileInvalid(f"{name} is larger than {_MOST_BYTES >> 20} MiB")
        return content.decode("utf-8-sig")
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise ReleaseFileInvalid(f"{name}, which describes the workspace, {why}", action="check `workspace`") from None
    except UnicodeDecodeError:
        raise ReleaseFileInvalid(f"{name} is not UTF-8 text") from None
