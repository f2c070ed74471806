"""Look at a repository, and write the `slipway.toml` it could begin with."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prefect_slipway.flows.bake.read import usual_files
from prefect_slipway.flows.components.workspaces import members
from prefect_slipway.flows.request.release_file import WORKSPACES
from prefect_slipway.infra.domain.conventional import parse_message
from prefect_slipway.infra.domain.documentation import SCHEMA
from prefect_slipway.infra.domain.errors import ReleaseFileInvalid
from prefect_slipway.infra.domain.naming import source_name
from prefect_slipway.infra.domain.version import versions_of_git_tags
from prefect_slipway.infra.source.command import git
from prefect_slipway.infra.source.history import read_tags

_DOCKERFILE = re.compile(r"(?i)(?:dockerfile|containerfile)(?:\.[\w-]+)?|[\w-]+\.dockerfile")
_REMOTE = re.compile(r"(?:https?://|ssh://)?(?:[\w.-]+@)?(?P<host>[\w.-]+)[:/](?P<path>[\w./-]+?)(?:\.git)?/?")
_SKIPPED = {"node_modules", "vendor", "target", "dist", "build", "venv", "__pycache__"}
_DEPTH, _MOST, _COMMITS = 3, 2_000, 50


@dataclass(frozen=True, slots=True)
class Found:
    """`dockerfiles`, `several`: paths relative to the folder. `prefix`: of the version tags, None without any;
    `newest`: one of those. `conventional`: whether most commits follow Conventional Commits. `workspaces`: kinds of
    those that have members with a Dockerfile. `remote`: HOST/PATH of the remote repository."""

    name: str
    dockerfiles: tuple[str, ...] = ()
    several: tuple[str, ...] = ()
    prefix: str | None = None
    newest: str = ""
    conventional: bool = False
    workspaces: tuple[str, ...] = ()
    remote: str = ""

    @property
    def in_parts(self) -> bool:
        """Whether there are several images and none at the top: each has a version of its own."""
        return "Dockerfile" not in self.dockerfiles and bool(self.workspaces or len(self.parts) > 1)

    @property
    def parts(self) -> dict[str, str]:
        """Dockerfiles in folders of their own, by a component's name."""
        found: dict[str, str] = {}
        for path in self.dockerfiles:
            folder = path.rpartition("/")[0]
            name = re.sub(r"[^a-z0-9]+", "-", folder.rpartition("/")[2].lower()).strip("-")
            if name and name not in found and not any(folder == each.rpartition("/")[0] for each in found.values()):
                found[name] = path
        return found


async def look(folder: Path) -> Found:
    """What a release of `folder`, an existing directory, could be made of."""
    top = await git("rev-parse", "--show-toplevel", cwd=folder)
    tags = read_tags((await git("show-ref", "--tags", "--dereference", cwd=folder)).out) if top.status == 0 else {}
    logged = await git("log", f"-{_COMMITS}", "--no-merges", "--format=%B%x00", "--", ".", cwd=folder)
    messages = [text.strip() for text in logged.out.split("\0") if text.strip()] if logged.status == 0 else []
    prefix, newest = _series(tags, folder, Path(top.out.rstrip("\n")) if top.status == 0 else folder)
    return Found(
        name=source_name(str(folder)),
        dockerfiles=tuple(_dockerfiles(folder)),
        several=tuple(usual_files(folder)),
        prefix=prefix,
        newest=newest,
        workspaces=tuple(kind for kind in WORKSPACES if _has_images(kind, folder)),
        remote=await _remote(folder),
        conventional=bool(messages) and 2 * sum(parse_message(text) is not None for text in messages) > len(messages),
    )


def first_release_file(found: Found) -> str:
    """The file's text, with comments that say what it found and what can be chosen."""
    lines = [
        f"#:schema {SCHEMA}",
        "# How Slipway releases this directory. `slipway config` shows the values in force, `slipway plan` what a",
        "# release would do, `slipway config --schema` everything that can stand here.",
        "",
        *_components(found),
        "# Where the image goes; without it, to the embedded registry of `slipway up`. Whoever runs the release must",
        "# allow this key, in your own checkout with `slipway config --trust`.",
        f'# image = "{_registry(found)}"',
        "",
        *_bump(found),
        *_dockerfile(found),
        '# platforms = ["linux/amd64", "linux/arm64"]',
        *_version(found),
        *_several(found),
        *_tables(found),
        "",
        "# Where Vault keeps the registry's credential, never the credential itself; to be allowed like the image.",
        "# [credentials]",
        '# registries = ["vault:secret/registry"]',
    ]
    return "\n".join(lines) + "\n"


def _registry(found: Found) -> str:
    """The place that goes with the repository's."""
    host, _, path = found.remote.partition("/")
    known = {"github.com": "ghcr.io", "gitlab.com": "registry.gitlab.com"}
    return f"{known[host]}/{path.lower()}" if host in known and path else f"registry.example/team/{found.name}"


def _components(found: Found) -> list[str]:
    if not found.in_parts or not found.workspaces:
        return []
    kinds = ", ".join(f'"{kind}"' for kind in found.workspaces)
    return [
        "# Members of the workspace that have a Dockerfile are released each with a version of its own, when they, or",
        "# what they depend on, have changed.",
        f"workspace = {kinds if len(found.workspaces) == 1 else f'[{kinds}]'}",
        "",
    ]


def _tables(found: Found) -> list[str]:
    """Without a workspace, a component for each folder with a Dockerfile."""
    if not found.in_parts or found.workspaces:
        return []
    lines = [
        "",
        "# Parts with a version of their own: `slipway release` finds those that changed. `depends_on` names others.",
    ]
    for name, path in found.parts.items():
        folder, _, file = path.rpartition("/")
        lines += ["", f"[components.{name}]", *([f'path = "{folder}"'] if folder != name else [])]
        lines += [f'file = "{file}"'] if file != "Dockerfile" else []
    return lines


def _bump(found: Found) -> list[str]:
    if found.conventional:
        return ["# Most commits follow Conventional Commits, so they decide on the next version.", 'bump = "auto"', ""]
    return ["# The part of the version to increment; `auto` reads Conventional Commits.", 'bump = "minor"', ""]


def _dockerfile(found: Found) -> list[str]:
    if found.in_parts:
        return []
    if not found.dockerfiles:
        return ["# There is no Dockerfile here yet.", '# file = "Dockerfile"', ""]
    first, *others = found.dockerfiles
    more = [f"# Other Dockerfiles: {', '.join(others)}"] if others else []
    return [*more, f'file = "{first}"', ""]


def _version(found: Found) -> list[str]:
    if found.prefix is None or found.in_parts:
        return []
    return [
        "",
        "[version]",
        f"# As in the tag {found.newest}.",
        f'tag_prefix = "{found.prefix or "-"}"',
    ]


def _several(found: Found) -> list[str]:
    if not found.several:
        return []
    names = ", ".join(f'"{name}"' for name in found.several)
    return [
        "",
        "# To release all images of these files under one version, use this table (to be allowed like the image) and",
        "# remove `file` and `platforms` above.",
        "# [bake]",
        f"# files = [{names}]",
    ]


def _dockerfiles(folder: Path) -> list[str]:
    """The one at the top first, then by depth and name. Links are not followed."""
    found: list[str] = []
    seen = 0
    for where, folders, files in os.walk(folder):
        here = Path(where).relative_to(folder)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in _SKIPPED and len(here.parts) < _DEPTH
        )
        seen += len(files)
        if seen > _MOST:
            break
        found += [(here / name).as_posix() for name in sorted(files) if _DOCKERFILE.fullmatch(name)]
    return sorted(found, key=lambda path: (path.count("/"), path != "Dockerfile", path))


def _has_images(kind: str, folder: Path) -> bool:
    """Whether the workspace, if there is one, has members with a Dockerfile."""
    with suppress(ReleaseFileInvalid, OSError):
        return any(member.path and (folder / member.path / "Dockerfile").is_file() for member in members(kind, folder))
    return False


async def _remote(folder: Path) -> str:
    """HOST/PATH of the remote repository, "" without one."""
    answer = await git("remote", "get-url", "origin", cwd=folder)
    match = _REMOTE.fullmatch(answer.out.strip()) if answer.status == 0 else None
    return f"{match['host'].lower()}/{match['path']}" if match is not None else ""


def _series(tags: Iterable[str], folder: Path, top: Path) -> tuple[str | None, str]:
    """The prefix of the version tags that belong to the folder, and the newest of them."""
    inside = folder.resolve().relative_to(top.resolve()).as_posix() if folder.resolve() != top.resolve() else ""
    wanted = [f"{inside}/v", f"{inside}/", f"{folder.name}/v", f"{folder.name}-v"] if inside else ["v", ""]
    for prefix in wanted:
        if versions := versions_of_git_tags(tags, prefix):
            return prefix, versions[max(versions)]
    return None, ""
